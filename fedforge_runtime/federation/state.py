"""What has become of a run, read from its event log and its lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedforge_runtime.home import RunFolder
from fedforge_runtime.processes.ownership import is_owned
from monitor.schema import Event, event_adapter

State = Literal["requested", "running", "paused", "stopped", "completed", "failed", "interrupted"]

_LIFECYCLE = b'"type":"run_'


@dataclass(frozen=True)
class RunState:
    """The present state and how the last attempt got there."""

    state: State
    attempt: int
    reason: str
    """Why it stopped or failed; empty otherwise."""


def run_state(folder: RunFolder, *, locked: bool = False) -> RunState:
    """The state of a run. `interrupted`: its process died without a word; it can be resumed.

    Args:
        locked: whoever asks holds the run's lock, so that nobody else executes it.
    """
    event = _last_lifecycle_event(folder)
    state: State = event.status if event else "requested"  # type: ignore[assignment]
    if state in ("requested", "running", "paused") and (locked or not is_executing(folder)):
        state = "interrupted"
    return RunState(state, event.attempt if event else 1, getattr(event, "reason", ""))


def is_executing(folder: RunFolder) -> bool:
    """Whether a living process holds the run's lock."""
    return is_owned(folder.lock)


def _last_lifecycle_event(folder: RunFolder) -> Event | None:
    """The last `run_*` event; other lines are not parsed, for a log may be long."""
    if not folder.events.exists():
        return None
    last = None
    with folder.events.open("rb") as stream:
        for line in stream:
            if _LIFECYCLE in line and line.endswith(b"\n"):
                last = line
    return event_adapter.validate_json(last) if last else None
