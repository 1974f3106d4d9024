"""What an operator wants of a run, as a monitor has it: asked in the background, so that looking costs nothing."""

from __future__ import annotations

from types import TracebackType

from fedforge_runtime.background import Background
from fedforge_runtime.control import Desired
from fedforge_runtime.telemetry.monitor_client import (
    MonitorAddress,
    MonitorAwayError,
    MonitorClient,
    MonitorRefusedError,
)

_WAIT_SECONDS = 20.0
_FIRST_RETRY_SECONDS = 0.02
"""The monitor hears of a run from its log, a moment after the run has asked for the first time."""
_LONGEST_RETRY_SECONDS = 0.5


class RemoteControl(Background):
    """Says what the monitor said last; "run" until it has said anything.

    Args:
        attempt: of the run; the monitor tells one that has been replaced to stop.
    """

    def __init__(self, address: MonitorAddress, *, run_id: str, attempt: int) -> None:
        super().__init__("remote-control")
        self._address = address
        self._path = f"/api/runs/{run_id}/desired"
        self._attempt = attempt
        self._desired: Desired = "run"

    def desired(self) -> Desired:
        return self._desired

    def _work(self) -> None:
        known: Desired | None = None
        retry = _FIRST_RETRY_SECONDS
        with MonitorClient(self._address) as client:
            while not self._ending.is_set():
                asked = {"attempt": self._attempt, "wait": _WAIT_SECONDS} | ({"known": known} if known else {})
                try:
                    known = self._desired = client.ask("GET", self._path, params=asked)["desired"]
                    retry = _FIRST_RETRY_SECONDS
                except (MonitorAwayError, MonitorRefusedError):
                    self._ending.wait(retry)
                    retry = min(2 * retry, _LONGEST_RETRY_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()  # an answer that is waited for is of no use any more: the thread ends with the process
