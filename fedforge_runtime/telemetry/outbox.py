"""Carries a run's event log to a monitor: the log is the outbox, and a cursor beside it says how far it was taken.

An event counts as delivered once the monitor has acknowledged it, which it does when the event is on its disk.
Whatever ends in between, the run, the monitor or both, the rest is sent again later; the monitor drops what it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fedforge_runtime.artifacts import read_json, write_json
from fedforge_runtime.background import Background
from fedforge_runtime.clock import monotonic
from fedforge_runtime.telemetry.monitor_client import (
    MonitorAddress,
    MonitorAwayError,
    MonitorClient,
    MonitorRefusedError,
)

_CURSOR = TypeAdapter(dict[str, int])
_LOOK_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_FLUSH_SECONDS = 5.0
_FLUSH_PAUSE_SECONDS = 0.5
_LARGEST_BATCH = 500
_LARGEST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class OutboxFiles:
    """A run's log and what is remembered of its way to monitors.

    Args:
        log: one event a line.
        cursor: how many bytes of it each monitor has taken.
        refused: lines that a monitor did not take, and why.
    """

    log: Path
    cursor: Path
    refused: Path


@dataclass(frozen=True)
class Delivered:
    """How far a delivery has come."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(
            self.accepted + other.accepted, self.duplicates + other.duplicates, self.refused + other.refused
        )


class Delivery:
    """Sends a log to one monitor, batch by batch; remembers its place after each."""

    def __init__(self, files: OutboxFiles, client: MonitorClient, *, from_start: bool = False) -> None:
        """Args:
        from_start: send everything, whatever was sent before.
        """
        self._files = files
        self._client = client
        self._offset = 0 if from_start else self._remembered().get(client.address.url, 0)

    def waiting(self) -> int:
        """Bytes of the log that were not taken yet."""
        try:
            return max(0, self._files.log.stat().st_size - self._offset)
        except FileNotFoundError:
            return 0

    def send_next(self) -> Delivered | None:
        """Send one batch; `None` when there is no whole line to send.

        Raises:
            MonitorAwayError: try again later; nothing was skipped.
            MonitorRefusedError: the monitor takes nothing from here.
        """
        lines, size = self._next_lines()
        if not lines:
            return None
        items = [_parsed(line) for line in lines]
        results = self._client.ask("POST", "/api/events", json={"events": items})["results"]
        self._keep_refused(lines, results)
        self._offset += size
        self._remember()
        outcomes = [result["outcome"] for result in results]
        return Delivered(outcomes.count("accepted"), outcomes.count("duplicate"), outcomes.count("refused"))

    def _next_lines(self) -> tuple[list[bytes], int]:
        lines: list[bytes] = []
        size = 0
        try:
            with self._files.log.open("rb") as stream:
                stream.seek(self._offset)
                for line in stream:
                    if not line.endswith(b"\n") or len(lines) == _LARGEST_BATCH:
                        break
                    if lines and size + len(line) > _LARGEST_BYTES:
                        break
                    size += len(line)
                    if line.strip():
                        lines.append(line)
        except FileNotFoundError:
            pass
        return lines, size

    def _keep_refused(self, lines: list[bytes], results: list[dict[str, Any]]) -> None:
        refused = [
            json.dumps({"error": result["error"], "line": line.decode(errors="replace").rstrip("\n")})
            for line, result in zip(lines, results, strict=True)
            if result["outcome"] == "refused"
        ]
        if refused:
            with self._files.refused.open("a") as stream:
                stream.write("".join(f"{text}\n" for text in refused))

    def _remembered(self) -> dict[str, int]:
        try:
            return _CURSOR.validate_python(read_json(self._files.cursor))
        except (
            OSError,
            ValueError,
            RecursionError,
        ):  # none yet, or damaged: all is sent again, and dropped there
            return {}

    def _remember(self) -> None:
        write_json(self._files.cursor, self._remembered() | {self._client.address.url: self._offset})


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode(errors="replace")  # the monitor says what is wrong with it


class Outbox(Background):
    """Sends a run's events while the block runs; a monitor that is away never holds the run up.

    Args:
        say: told once when the monitor is away, once when it is back, and at the end what was not delivered.
    """

    def __init__(self, files: OutboxFiles, address: MonitorAddress, *, run_id: str, say: Callable[[str], None]) -> None:
        super().__init__("outbox")
        self._files = files
        self._address = address
        self._run_id = run_id
        self._say = say
        self._refused = 0
        self._away = False
        self._pause = _LOOK_SECONDS

    def _work(self) -> None:
        with MonitorClient(self._address) as client:
            delivery = Delivery(self._files, client)
            try:
                while not self._ending.is_set():
                    self._send(delivery)
                    self._ending.wait(self._pause)
                give_up_at = monotonic() + _FLUSH_SECONDS
                while not self._send(delivery) and monotonic() < give_up_at:
                    time.sleep(min(self._pause, _FLUSH_PAUSE_SECONDS))
            except MonitorRefusedError as error:
                self._say(f"the monitor at {self._address.url} takes no events of this run: {error}")
            self._report(delivery)

    def _send(self, delivery: Delivery) -> bool:
        """Send what is there; whether that is done, and not for later."""
        try:
            while (sent := delivery.send_next()) is not None:
                self._refused += sent.refused
                if self._away:
                    self._say(f"the monitor at {self._address.url} is back.")
                    self._away = False
            self._pause = _LOOK_SECONDS
            return True
        except (MonitorAwayError, OSError) as error:
            if not self._away:
                self._say(f"{error} The run goes on; its events wait in its log.")
            self._away, self._pause = True, min(self._pause * 2, _LONGEST_BACKOFF_SECONDS)
            return False

    def _report(self, delivery: Delivery) -> None:
        if self._refused:
            self._say(f"{self._refused} events were refused by the monitor and are kept in {self._files.refused}.")
        with suppress(OSError):
            if delivery.waiting():
                self._say(
                    f"not all events have reached the monitor. Send the rest later with: "
                    f"fedforge events import {self._run_id} --monitor {self._address.url}"
                )
