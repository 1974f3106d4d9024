"""Starts the runs that a monitor has requests for: claims one, runs it in a process, and says so until it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from fedforge_runtime.errors import AskError, ConfigError, MonitorRefusedError, RunStoppedError
from fedforge_runtime.processes import describe_exit, explain_death
from fedforge_runtime.processes.background import Background
from fedforge_runtime.processes.child import Child, LastWords
from fedforge_runtime.processes.environment import ATTEMPT
from fedforge_runtime.processes.stop_signal import StopSignal, wait_for_any
from fedforge_runtime.runs.attempts import Ending, report_end, request_options
from fedforge_runtime.runs.offer import ClaimantDefaults
from fedforge_runtime.runs.offering import Offering, waiting_for
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.answers import Lease
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach
from fedforge_runtime.telemetry.remote_control import RemoteControl
from monitor.schema import RunFailed, RunStopped

_LOOK_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 5.0
_REPORT_SECONDS = 5.0
_RENEW_SECONDS = 5.0
_STOP_SECONDS = 0.2
_GRACE_SECONDS = 30.0
_REQUESTS, _LEASE = "requests", "lease"


@dataclass
class Claimant:
    """Carries out one request after another until it is told to end.

    Args:
        address: the monitor.
        home: where the runs go.
        name: how the monitor shows it.
        say: told what it does.
        defaults: what it takes where a request says nothing.
        stop: set from outside.
    """

    address: MonitorAddress
    home: Home
    name: str
    say: Callable[[str], None]
    defaults: ClaimantDefaults = field(default_factory=ClaimantDefaults)
    stop: StopSignal = field(default_factory=StopSignal)
    _reach: MonitorReach = field(init=False)

    def __post_init__(self) -> None:
        self._reach = MonitorReach(self.address, self.say, meanwhile="It is waited for.")

    def serve(self, *, once: bool = False) -> None:
        """Offer, claim and run.

        Args:
            once: return after one run.
        """
        with Offering(self._reach, self.name, self.defaults, self.home):
            while not self.stop.is_set():
                with _Looking(self._reach, self.name) as looking:
                    lease = looking.lease(self.stop)
                if lease is not None:
                    self._carry_out(lease)
                    if once:
                        return

    def _carry_out(self, lease: Lease) -> None:
        run_id, attempt = lease["run_id"], lease["attempt"]
        self.say(f"{run_id}: claimed, attempt {attempt}")
        if lease["request"] is None and not self.home.run(run_id).exists():
            self.say(f"{run_id}: not of this home")
            reason = f"it was not asked for here, and its folder is not in the home of the {self.name}."
            self._report(lease, RunFailed, reason)
            return
        try:
            arguments = self._arguments(lease)
        except ConfigError as error:
            self.say(f"{run_id}: {error}")
            self._report(lease, RunFailed, str(error))
            return
        process = Child(
            [sys.executable, "-m", "fedforge_runtime.cli", *arguments],
            environment={ATTEMPT: str(attempt)},
            stderr=subprocess.PIPE,
        )
        words = LastWords(process)
        try:
            stopped = self._follow(lease, process)
        finally:
            process.end()
            words.join()
        self.say(f"{run_id}: ended, {describe_exit(process.returncode)}")
        if stopped:
            killed = process.returncode == -signal.SIGKILL
            reason = "it did not end when it was told to, and was killed" if killed else "stopped before it had begun"
            self._report(lease, RunStopped, reason)
        else:
            code = process.returncode
            kind = RunStopped if code == RunStoppedError.exit_code else RunFailed
            said = words.error or words.line if code >= 0 else ""  # one that was killed had no last word
            self._report(lease, kind, said or f"its process ended: {explain_death(code)}")

    def _arguments(self, lease: Lease) -> list[str]:
        run_id, request = lease["run_id"], lease["request"]
        common = ["--home", str(self.home.root), "--monitor", self.address.url]
        if self.home.run(run_id).exists():
            return ["resume", run_id, *common]
        assert request is not None
        options = request_options(request["profile"], self.defaults.completed(request["overrides"]))
        defaults = self.defaults.options(request["overrides"])
        return ["run", request["phase"], "--run-id", run_id, *defaults, *options, *common]

    def _follow(self, lease: Lease, process: Child) -> bool:
        """Renew the lease until the process ends; where a stop is wanted, have it end, in the end by force.

        Returns:
            Whether a stop was wanted.
        """
        run_id, attempt = lease["run_id"], lease["attempt"]
        with (
            RemoteControl(self._reach, run_id=run_id, attempt=attempt) as control,
            _Renewal(self._reach, lease),
        ):
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
                    return False
                # The run hears of it too, unless it is not that far yet.
                if self.stop.is_set() or control.desired() == "stop":
                    process.end(by=signal.SIGINT, grace=_GRACE_SECONDS)
                    return True

    def _report(self, lease: Lease, kind: type[RunFailed] | type[RunStopped], reason: str) -> None:
        emitter_id = f"agent-{os.getpid()}-{lease['lease_id'][:8]}"
        with MonitorClient(self.address, patience=_REPORT_SECONDS, emits=True) as client:
            ending = Ending(lease["run_id"], lease["attempt"], kind, reason)
            report_end(client, ending, emitter_id=emitter_id, unclaimed=True)


class _Looking(Background):
    """Looks for a request and claims it, until it has one; who waits for it may go at any time."""

    def __init__(self, reach: MonitorReach, name: str) -> None:
        super().__init__("looking", patience=0)
        self._client = MonitorClient(reach.address, emits=True)
        self._name = name
        self._reach = reach
        self._found: Lease | None = None
        self._error: Exception | None = None
        self._done = StopSignal()

    def lease(self, stop: StopSignal) -> Lease | None:
        """What it has claimed; `None` where `stop` is set first."""
        wait_for_any(self._done, stop)
        if self._error is not None:
            raise self._error
        return self._found

    def _work(self) -> None:
        try:
            self._look()
        except Exception as error:  # raised where somebody waits, who would else wait for ever
            self._error = error
        finally:
            self._done.set()

    def _look(self) -> None:
        away = Backoff(_LOOK_SECONDS, _LONGEST_RETRY_SECONDS)
        with self._client:
            while not self._ending.is_set():
                try:
                    self._found = self._claim()
                    self._reach.answered(_REQUESTS)
                    if self._found is not None:
                        return
                    away.reset()
                    pause = _LOOK_SECONDS
                except AskError as error:
                    self._reach.failed(_REQUESTS, error)
                    pause = away.after_failure(error.retry_after)
                self._ending.wait(pause)

    def _claim(self) -> Lease | None:
        for run in waiting_for(self._client, self._name):
            with suppress(MonitorRefusedError):  # somebody else was quicker
                return self._client.ask(
                    "POST", f"/api/runs/{run['run_id']}/claim", Lease, json={"claimant": self._name}
                )
        return None


class _Renewal(Background):
    """Says that the run is still carried out."""

    def __init__(self, reach: MonitorReach, lease: Lease) -> None:
        super().__init__("renewal", patience=0)
        self._client = MonitorClient(reach.address, emits=True)
        self._path = f"/api/runs/{lease['run_id']}/leases/{lease['lease_id']}"
        self._reach = reach

    def _work(self) -> None:
        with self._client:
            while not self._ending.wait(_RENEW_SECONDS):
                try:
                    self._client.ask("POST", self._path, Lease)
                    self._reach.answered(_LEASE)
                except MonitorRefusedError:  # the run has ended, or is another's: told by `desired`
                    self._reach.answered(_LEASE)
                except AskError as error:
                    self._reach.failed(_LEASE, error)
        self._reach.ended(_LEASE)
