"""Starts the runs that a monitor has requests for: claims one, runs it in a process, and says so until it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fedforge_runtime.attempts import report_end, request_options
from fedforge_runtime.clock import monotonic
from fedforge_runtime.environment import ATTEMPT
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.home import Home
from fedforge_runtime.remote_control import RemoteControl
from fedforge_runtime.stop_signal import StopSignal
from fedforge_runtime.telemetry.monitor_client import (
    MonitorAddress,
    MonitorAwayError,
    MonitorClient,
    MonitorRefusedError,
)
from monitor.schema import RunFailed, RunStopped

_LOOK_SECONDS = 1.0
_RENEW_SECONDS = 5.0
_STOP_SECONDS = 0.2
_GRACE_SECONDS = 30.0
_LAST_WORDS = 4000


@dataclass
class Claimant:
    """Carries out one request after another until it is told to end.

    Args:
        address: the monitor.
        home: where the runs go.
        name: how the monitor shows it.
        say: told what it does.
        stop: set from outside.
    """

    address: MonitorAddress
    home: Home
    name: str
    say: Callable[[str], None]
    stop: StopSignal = field(default_factory=StopSignal)
    _away: bool = field(default=False, init=False)

    def serve(self, *, once: bool = False) -> None:
        """Claim and run.

        Args:
            once: return after one run.
        """
        with MonitorClient(self.address) as client:
            while not self.stop.is_set():
                lease = self._claim(client)
                if lease is not None:
                    self._carry_out(client, lease)
                    if once:
                        return
                else:
                    self.stop.wait(_LOOK_SECONDS)

    def _claim(self, client: MonitorClient) -> dict[str, Any] | None:
        try:
            runs = client.ask("GET", "/api/runs", params={"claimable": True, "limit": 100})["runs"]
            if self._away:
                self.say(f"the monitor at {self.address.url} is back.")
                self._away = False
            for run in reversed(runs):  # the oldest first
                with suppress(MonitorRefusedError):  # somebody else was quicker
                    lease: dict[str, Any] = client.ask(
                        "POST", f"/api/runs/{run['run_id']}/claim", json={"claimant": self.name}
                    )
                    return lease
        except MonitorAwayError as error:
            if not self._away:
                self.say(str(error))
                self._away = True
        return None

    def _carry_out(self, client: MonitorClient, lease: dict[str, Any]) -> None:
        run_id, attempt = lease["run_id"], lease["attempt"]
        self.say(f"{run_id}: claimed, attempt {attempt}")
        if lease["request"] is None and not self.home.run(run_id).exists():
            self.say(f"{run_id}: not of this home")
            reason = f"it was not asked for here, and its folder is not in the home of the {self.name}."
            self._report(client, lease, RunFailed, reason)
            return
        process = subprocess.Popen(
            [sys.executable, "-m", "fedforge_runtime.cli", *self._arguments(lease)],
            env={**os.environ, ATTEMPT: str(attempt)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        words = _LastWords(process)
        try:
            stopped = self._follow(client, lease, process)
        finally:
            _end(process)
            words.join()
        self.say(f"{run_id}: ended, exit code {process.returncode}")
        if stopped:
            killed = process.returncode == -signal.SIGKILL
            reason = "it did not end when it was told to, and was killed" if killed else "stopped before it had begun"
            self._report(client, lease, RunStopped, reason)
        else:
            kind = RunStopped if process.returncode == RunStoppedError.exit_code else RunFailed
            self._report(client, lease, kind, words.text or f"its process ended with exit code {process.returncode}")

    def _arguments(self, lease: dict[str, Any]) -> list[str]:
        run_id, request = lease["run_id"], lease["request"]
        common = ["--home", str(self.home.root), "--monitor", self.address.url]
        if self.home.run(run_id).exists():
            return ["resume", run_id, *common]
        options = request_options(request["profile"], request["overrides"])
        return ["run", request["phase"], "--run-id", run_id, *options, *common]

    def _follow(self, client: MonitorClient, lease: dict[str, Any], process: subprocess.Popen[bytes]) -> bool:
        """Renew the lease until the process ends; where a stop is wanted, have it end, in the end by force.

        Returns:
            Whether a stop was wanted.
        """
        renew_at = monotonic() + _RENEW_SECONDS
        with RemoteControl(self.address, run_id=lease["run_id"], attempt=lease["attempt"]) as control:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
                    return False
                # The run hears of it too, unless it is not that far yet.
                if self.stop.is_set() or control.desired() == "stop":
                    process.send_signal(signal.SIGINT)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_GRACE_SECONDS)
                    return True
                if monotonic() >= renew_at:
                    self._renew(client, lease)
                    renew_at = monotonic() + _RENEW_SECONDS

    def _renew(self, client: MonitorClient, lease: dict[str, Any]) -> None:
        with suppress(MonitorRefusedError, MonitorAwayError):  # ended, or another's: told by `desired`; or asked later
            client.ask("POST", f"/api/runs/{lease['run_id']}/leases/{lease['lease_id']}")

    def _report(
        self,
        client: MonitorClient,
        lease: dict[str, Any],
        kind: type[RunFailed] | type[RunStopped],
        reason: str,
    ) -> None:
        emitter_id = f"agent-{os.getpid()}-{lease['lease_id'][:8]}"
        report_end(client, lease["run_id"], lease["attempt"], kind, reason, emitter_id=emitter_id, unclaimed=True)


class _LastWords(threading.Thread):
    """Reads what a process writes to standard error and keeps its last error."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(name="last-words", daemon=True)
        self._process = process
        self._tail = b""
        self.start()

    def run(self) -> None:
        assert self._process.stderr is not None
        while part := os.read(self._process.stderr.fileno(), 65536):
            self._tail = (self._tail + part)[-_LAST_WORDS:]

    @property
    def text(self) -> str:
        lines = [line for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (errors or lines or [""])[-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
