"""Starts the ServerApps of runs that come from `flwr run`, beside a SuperLink that starts none itself."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, suppress

import httpx

from fedforge_runtime.federation.superlink import flower
from fedforge_runtime.federation.superlink.address import LinkAddress
from fedforge_runtime.federation.superlink.driver import BUNDLE_ID, control_client, give_back, runtime_client
from fedforge_runtime.federation.superlink.link_process import flower_environment
from fedforge_runtime.home import Home
from fedforge_runtime.lifeline import TiedProcess

_POLL_SECONDS = 2.0
_LATEST_RUNS = 20
_GRACE_SECONDS = 5.0


class ServerAppExecutor:
    """Looks for runs that wait and starts Flower's own ServerApp process for each.

    A run that is driven by the process that submitted it is left to that process.
    """

    def __init__(self, address: LinkAddress, home: Home) -> None:
        self._address = address
        self._home = home
        self._stop = threading.Event()
        self._processes: list[TiedProcess] = []
        self._thread = threading.Thread(target=self._work, name="serverapp-executor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it and every ServerApp that it has started."""
        self._stop.set()
        self._thread.join()
        for process in self._processes:
            process.end(grace=_GRACE_SECONDS)

    def _work(self) -> None:
        with ExitStack() as stack:
            control = stack.enter_context(control_client(self._address))
            runtime = stack.enter_context(runtime_client(self._address))
            while not self._stop.wait(_POLL_SECONDS):
                self._forget_ended()
                with suppress(httpx.HTTPError):  # the SuperLink is being started again
                    if self._someone_waits(control):
                        self._take(control, runtime)

    def _forget_ended(self) -> None:
        for process in [each for each in self._processes if each.poll() is not None]:
            process.end()
            self._processes.remove(process)
        if not self._processes:
            for token in self._home.federation.glob("serverapp-*.token"):
                token.unlink()

    def _someone_waits(self, control: flower.ControlHttpClient) -> bool:
        runs = control.ListRuns(flower.ListRunsRequest(limit=_LATEST_RUNS)).run_dict.values()
        return any(run.status.status == flower.Status.PENDING and run.fab_id != BUNDLE_ID for run in runs)

    def _take(self, control: flower.ControlHttpClient, runtime: flower.RuntimeHttpClient) -> None:
        offered = runtime.AcquireTask(flower.AcquireTaskRequest(supported_task_types=[flower.TaskType.SERVER_APP]))
        if not offered.token:
            return
        run = control.ListRuns(flower.ListRunsRequest(run_id=offered.task.run_id)).run_dict[offered.task.run_id]
        if run.fab_id == BUNDLE_ID:
            give_back(self._address, offered.token)
            return
        certificates = self._address.root_certificates
        security = ["--root-certificates", str(certificates)] if certificates else ["--insecure"]
        folder = self._home.federation
        token = folder / f"serverapp-{offered.task.run_id}.token"
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(offered.token)
        self._processes.append(
            TiedProcess(
                [
                    *("flwr-serverapp", "--runtime-api-address", str(self._address)),
                    *("--token-file", str(token)),
                    *security,
                ],
                environment=flower_environment(folder) | {"FEDFORGE_HOME": str(self._home.root)},
                log=folder / f"serverapp-{offered.task.run_id}.log",
            )
        )
