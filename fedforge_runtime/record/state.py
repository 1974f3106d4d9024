"""What has become of a run, and which nodes failed in it, read from its event log and its lock."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from fedforge_runtime.processes.ownership import is_owned
from fedforge_runtime.storage.home import RunFolder
from monitor.schema import Event, NodeError, event_adapter

State = Literal["requested", "running", "paused", "stopped", "completed", "failed", "interrupted"]

_TYPE = b'"type":"'
_NODE_ERROR = b'"type":"node_error"'
_LIFECYCLE = re.compile(rb'"type":"run_(requested|started|paused|resumed|stopped|completed|failed)"')


@dataclass(frozen=True)
class RunState:
    """The present state and how the last attempt got there."""

    state: State
    attempt: int
    reason: str
    """Why it stopped or failed; empty otherwise."""
    damaged_lines: list[int] = field(default_factory=list)
    """Numbers of the log's lines that say nothing any more, from 1."""


def run_state(folder: RunFolder, *, locked: bool = False) -> RunState:
    """The state of a run. `interrupted`: its process died without a word; it can be resumed.

    Args:
        locked: whoever asks holds the run's lock, so that nobody else executes it.
    """
    event, attempt, damaged = _last_lifecycle_event(folder)
    state: State = event.status if event else "requested"  # type: ignore[assignment]
    if state in ("requested", "running", "paused") and (locked or not is_executing(folder)):
        state = "interrupted"
    return RunState(state, attempt, getattr(event, "reason", ""), damaged)


def is_executing(folder: RunFolder) -> bool:
    """Whether a living process holds the run's lock."""
    return is_owned(folder.lock)


def _last_lifecycle_event(folder: RunFolder) -> tuple[Event | None, int, list[int]]:
    """The last event of the run's life, the highest attempt of all of them, and the numbers of damaged lines.

    Other lines are not parsed, for a log may be long: they count as damaged when they are no object with a type.
    """
    last: Event | None = None
    attempt = 1
    damaged: list[int] = []
    if not folder.events.exists():
        return None, attempt, damaged
    with folder.events.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            text = line.strip()
            if not line.endswith(b"\n") or not text:  # still being written, or nothing
                continue
            if not (text.startswith(b"{") and text.endswith(b"}")) or b"\0" in text or _TYPE not in text:
                damaged.append(number)
            elif _LIFECYCLE.search(text):
                try:
                    last = event_adapter.validate_json(text)
                    attempt = max(attempt, last.attempt)
                except ValueError:
                    damaged.append(number)
    return last, attempt, damaged


def read_failures(folder: RunFolder) -> list[NodeError]:
    """The failures of all attempts in the order in which they happened, those of discarded rounds included."""
    if not folder.events.exists():
        return []
    failures = []
    with folder.events.open("rb") as stream:
        for line in stream:  # other lines are not parsed, for a log may be long
            if _NODE_ERROR in line and line.endswith(b"\n"):
                with suppress(ValueError):  # a line that a full disk cut short
                    event = event_adapter.validate_json(line)
                    if isinstance(event, NodeError):
                        failures.append(event)
    return failures
