"""Starts the ServerApps of runs that come from `flwr run`, beside a SuperLink that starts none itself."""

from __future__ import annotations

import httpx

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.app.driver import (
    BUNDLE_ID,
    MISTAKEN,
    control_client,
    give_back,
    runtime_client,
)
from fedforge_runtime.engines.superlink.link.link_process import flower_environment
from fedforge_runtime.engines.superlink.log import say
from fedforge_runtime.flower import protocol
from fedforge_runtime.processes.background import Background
from fedforge_runtime.processes.lifeline import TiedProcess
from fedforge_runtime.storage.artifacts import write_atomically
from fedforge_runtime.storage.home import Home

_POLL_SECONDS = 2.0
_LATEST_RUNS = 20
_GRACE_SECONDS = 5.0


class ServerAppExecutor(Background):
    """Looks for runs that wait and starts Flower's own ServerApp process for each, which ends with the block.

    A run that is driven by the process that submitted it is left to that process.
    """

    def __init__(self, address: LinkAddress, home: Home) -> None:
        # At the end it may be in a request that nobody answers.
        super().__init__("serverapp-executor", patience=_GRACE_SECONDS)
        self._address = address
        self._home = home
        self._processes: list[TiedProcess] = []

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for process in self._processes:
            process.end(grace=_GRACE_SECONDS)

    def _work(self) -> None:
        said = ""
        with control_client(self._address) as control, runtime_client(self._address) as runtime:
            while not self._ending.wait(_POLL_SECONDS):
                try:
                    self._forget_ended()
                    if self._someone_waits(control):
                        self._take(control, runtime)
                    said = ""
                except httpx.TransportError:
                    pass  # the SuperLink is being started again
                except Exception as error:  # whatever it is, the next run of `flwr run` must not wait for ever
                    if str(error) != said:
                        said = str(error)
                        say(f"looking for the ServerApps of `flwr run` failed and is tried again: {error}")

    def _forget_ended(self) -> None:
        for process in [each for each in self._processes if each.poll() is not None]:
            process.end()
            self._processes.remove(process)
        if not self._processes:
            for token in self._home.federation.glob("serverapp-*.token"):
                token.unlink()

    def _someone_waits(self, control: protocol.ControlHttpClient) -> bool:
        runs = control.ListRuns(protocol.ListRunsRequest(limit=_LATEST_RUNS)).run_dict.values()
        return any(run.status.status == protocol.Status.PENDING and run.fab_id != BUNDLE_ID for run in runs)

    def _take(self, control: protocol.ControlHttpClient, runtime: protocol.RuntimeHttpClient) -> None:
        offered = runtime.AcquireTask(protocol.AcquireTaskRequest(supported_task_types=[protocol.TaskType.SERVER_APP]))
        if not offered.token:
            return
        run = control.ListRuns(protocol.ListRunsRequest(run_id=offered.task.run_id)).run_dict[offered.task.run_id]
        if run.fab_id == BUNDLE_ID:
            give_back(self._address, offered.token, MISTAKEN)
            return
        try:
            self._processes.append(self._start(offered.task.run_id, offered.token))
        except OSError as error:
            reason = f"the ServerApp cannot be started: {error}"
            say(f"run {offered.task.run_id}: {reason}")
            give_back(self._address, offered.token, reason)

    def _start(self, run_id: int, token: str) -> TiedProcess:
        """Flower's ServerApp process of a run, which finds the task's token in a file."""
        certificates = self._address.root_certificates
        security = ["--root-certificates", str(certificates)] if certificates else ["--insecure"]
        folder = self._home.federation
        file = folder / f"serverapp-{run_id}.token"
        try:
            write_atomically(file, token.encode(), private=True)
            return TiedProcess(
                [
                    *("flwr-serverapp", "--runtime-api-address", str(self._address)),
                    *("--token-file", str(file)),
                    *security,
                ],
                environment=flower_environment(folder) | {"FEDFORGE_HOME": str(self._home.root)},
                log=folder / f"serverapp-{run_id}.log",
            )
        except OSError:
            file.unlink(missing_ok=True)
            raise
