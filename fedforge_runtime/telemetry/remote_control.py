"""What an operator wants of a run, as a monitor has it: asked in the background, so that looking costs nothing."""

from __future__ import annotations

import httpx

from fedforge_runtime.errors import AskError, MonitorRefusedError
from fedforge_runtime.processes.background import Background
from fedforge_runtime.telemetry.answers import Wanted
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.control import Desired
from fedforge_runtime.telemetry.monitor_client import MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach

_WAIT_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
"""Beside the wait: on a connection that is dead without a word, the run is deaf for no longer than both."""
_FIRST_LOOK_SECONDS = 0.02
"""The monitor hears of a run from its log, a moment after the run has asked for the first time."""
_LONGEST_LOOK_SECONDS = 0.5
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 2.0
_PURPOSE = "control"


class RemoteControl(Background):
    """Says what the monitor said last; "run" until it has said anything.

    Args:
        reach: of the monitor.
        attempt: of the run; the monitor tells one that has been replaced to stop.
    """

    def __init__(self, reach: MonitorReach, *, run_id: str, attempt: int) -> None:
        # An answer that is waited for is of no use any more at the end: the thread ends with the process.
        super().__init__("remote-control", patience=0)
        self._client = MonitorClient(reach.address, patience=_WAIT_SECONDS + _ANSWER_SECONDS, emits=True)
        self._path = f"/api/runs/{run_id}/desired"
        self._attempt = attempt
        self._reach = reach
        self._desired: Desired = "run"

    def desired(self) -> Desired:
        return self._desired

    def _work(self) -> None:
        unknown = Backoff(_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS)
        away = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        known: Desired | None = None
        wait = _WAIT_SECONDS
        with self._client:
            while not self._ending.is_set():
                asked = {"attempt": self._attempt, "wait": wait} | ({"known": known} if known else {})
                try:
                    known = self._desired = self._client.ask("GET", self._path, Wanted, params=asked)["desired"]
                except AskError as error:
                    if isinstance(error, MonitorRefusedError) and error.status == httpx.codes.NOT_FOUND:
                        self._reach.answered(_PURPOSE)
                        self._ending.wait(unknown.after_failure())
                    else:
                        self._reach.failed(_PURPOSE, error)
                        wait = 0  # so that it is known at once when it is answered again
                        self._ending.wait(away.after_failure(error.retry_after))
                else:
                    self._reach.answered(_PURPOSE)
                    wait = _WAIT_SECONDS
                    unknown.reset()
                    away.reset()
        self._reach.ended(_PURPOSE)
