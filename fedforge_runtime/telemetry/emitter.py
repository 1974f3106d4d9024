"""Writes a run's events to its log: `runs/<id>/events.jsonl`, one JSON object a line.

Several processes append to one file. Each line is written by a single `write` under an exclusive lock of the
kernel, so lines never mix, and a process that is killed loses nothing that `emit` has returned for.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import uuid_utils

from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import EventTooLargeError
from fedforge_runtime.processes.background import Background
from monitor.schema import LARGEST_EVENT_BYTES, Event, EventBase, NodeHeartbeat, Role, event_adapter, sentence

EventT = TypeVar("EventT", bound=EventBase)
_LATEST_BYTES = 4 * LARGEST_EVENT_BYTES
"""Of the end of a log, in which its latest event is looked for."""


def new_event(event_type: type[EventT], **fields: Any) -> EventT:
    """An event of now, with an id of its own; `fields` are all others."""
    return event_type.model_validate({"event_id": str(uuid_utils.uuid7()), "ts": utc_now(), **fields})


class EventSource:
    """Makes the events of one run in one process, and numbers them.

    Args:
        run_id: the run.
        role: who emits: the server or a client.
        attempt: 1 for a first start, one more for each resume.
    """

    def __init__(self, *, run_id: str, role: Role, attempt: int) -> None:
        self.run_id = run_id
        self.role = role
        self.attempt = attempt
        self.emitter_id = f"{role}-{os.getpid()}-{secrets.token_hex(4)}"
        self._sequence = 0
        self._thread_lock = threading.Lock()

    def emit(self, event_type: type[EventT], *, round_number: int, node_id: str, **fields: Any) -> EventT:
        """Validate, number and append one event; return it.

        Raises:
            EventTooLargeError: no monitor would take it.
        """
        with self._thread_lock:
            event = new_event(
                event_type,
                emitter_id=self.emitter_id,
                emitter_seq=self._sequence + 1,
                run_id=self.run_id,
                attempt=self.attempt,
                round=round_number,
                node_id=node_id,
                role=self.role,
                **fields,
            )
            self._append(_line(event))
            self._sequence += 1
        return event

    def _append(self, line: bytes) -> None:
        """Put a line where it belongs."""
        raise NotImplementedError


def _line(event: EventBase) -> bytes:
    line = event.model_dump_json().encode()
    if len(line) > LARGEST_EVENT_BYTES:
        raise EventTooLargeError(
            f"the event {getattr(event, 'type', '')} of {event.node_id} has {len(line):,} bytes, and an event may have "
            f"{LARGEST_EVENT_BYTES:,}.",
            remedy="Shorten what it tells of: the configuration, or the list of sites of one round.",
        )
    return line + b"\n"


class Emitter(EventSource):
    """Emits events of one run from one process into the run's log.

    Args:
        log: the run's event log; made when absent.
        run_id, role, attempt: as `EventSource`.

    A log that cannot be written raises `OSError`, and an event that no monitor would take `EventTooLargeError`: none
    is ever dropped in silence.
    """

    def __init__(self, log: Path, *, run_id: str, role: Role, attempt: int = 1) -> None:
        super().__init__(run_id=run_id, role=role, attempt=attempt)
        self._descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def pass_on(self, event: EventBase) -> None:
        """Append an event that somebody else has made and numbered."""
        with self._thread_lock:
            self._append(_line(event))

    def _append(self, line: bytes) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            if end and os.pread(self._descriptor, 1, end - 1) != b"\n":
                line = b"\n" + line  # what a full disk cut short stays a line of its own
            if os.write(self._descriptor, line) != len(line):
                os.ftruncate(self._descriptor, end)
                raise OSError(28, "no space left for the event log")
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def sync(self) -> None:
        """Wait until the log is on disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Heartbeat(Background):
    """Emits `node_heartbeat` for one node every `interval` seconds while the block runs."""

    def __init__(self, emitter: EventSource, *, node_id: str, round_number: int = 0, interval: float = 5.0) -> None:
        super().__init__(f"heartbeat-{node_id}")
        self.round_number = round_number
        self._emitter = emitter
        self._node_id = node_id
        self._interval = interval

    def _work(self) -> None:
        while not self._ending.wait(self._interval):
            with suppress(OSError):  # a log that cannot be written ends the run at the next event that matters
                self._emitter.emit(NodeHeartbeat, round_number=self.round_number, node_id=self._node_id, status="busy")


class EventLogReader:
    """Reads a run's log from where the last read ended; a line still being written waits for the next read."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self.malformed_lines = 0

    def read_new(self) -> Iterator[Event]:
        """The events appended since the last call, in file order."""
        if not self._log.exists():
            return
        with self._log.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                if line.strip():
                    try:
                        yield event_adapter.validate_json(line)
                    except ValueError:
                        self.malformed_lines += 1


def read_events(log: Path) -> list[Event]:
    """Every event of a log, in file order."""
    return list(EventLogReader(log).read_new())


def latest_sentence(log: Path) -> str | None:
    """The sentence of the last line of a log that is more than a heartbeat; `None` where there is none near its end."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LATEST_BYTES))
            lines = stream.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):  # half a line
            event = json.loads(line)
            if event["type"] != "node_heartbeat":
                return sentence(event)
    return None
