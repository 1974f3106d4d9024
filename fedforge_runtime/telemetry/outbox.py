"""Carries a run's event log to a monitor: the log is the outbox, and a cursor beside it says how far it was taken.

An event counts as delivered once the monitor has acknowledged it, which it does when the event is on its disk.
Whatever ends in between, the run, the monitor or both, the rest is sent again later; the monitor drops what it has.
Each acknowledgement says what the monitor holds, and the next batch that this is expected: a monitor whose database
was lost, or put back to an older copy, takes nothing out of its order and is sent all that it misses.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import httpx
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import AskError, MonitorAwayError, MonitorRefusedError, RunStoppedError
from fedforge_runtime.processes.background import Background
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.answers import Held, Outcome, Outcomes
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach

_LOOK_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_FLUSH_SECONDS = 5.0
_FLUSH_OF_A_STOP_SECONDS = 1.0
_FLUSH_PAUSE_SECONDS = 0.5
_LARGEST_BATCH = 500
_LARGEST_BYTES = 1024 * 1024
_TOO_BIG = httpx.codes.REQUEST_ENTITY_TOO_LARGE
_WRONG_BATCH = (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY, _TOO_BIG)
_PURPOSE = "events"
_JSON = {"Content-Type": "application/json"}


class Place(TypedDict):
    """Bytes of the log that a monitor has taken, and what it said then that it holds."""

    offset: int
    held: Held | None


_CURSOR = TypeAdapter(dict[str, Place])


@dataclass(frozen=True)
class Delivered:
    """How far a delivery has come."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    """By the monitor, which named each."""
    again: int = 0
    """Bytes that it had taken and does not hold any more: they are sent again."""

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.refused + other.refused,
            self.again + other.again,
        )


class Delivery:
    """Sends a log to one monitor, batch by batch; remembers its place after each."""

    def __init__(self, folder: RunFolder, client: MonitorClient, *, from_start: bool = False) -> None:
        """Args:
        from_start: send everything, whatever was sent before.
        """
        self.first_refusal = ""
        """Why the first event that was refused was."""
        self._folder = folder
        self._client = client
        nowhere: Place = {"offset": 0, "held": None}
        self._place = nowhere if from_start else self._remembered().get(client.address.url, nowhere)
        self._went_back = False
        self._largest = _LARGEST_BATCH

    def waiting(self) -> int:
        """Bytes of the log that were not taken yet."""
        try:
            return max(0, self._folder.events.stat().st_size - self._place["offset"])
        except FileNotFoundError:
            return 0

    def send_next(self) -> Delivered | None:
        """Send one batch, a smaller one where it is too big; `None` when there is no whole line to send.

        Raises:
            MonitorAwayError, MonitorRefusedError: try again later; nothing was skipped.
            OSError: the log cannot be read, or its place not be written; the same.
        """
        while True:
            lines, size = self._next_lines()
            if not lines:
                self._largest = _LARGEST_BATCH
                return None
            held = self._place["held"]
            try:
                answer = self._ask(lines)
            except AskError as error:
                refused = isinstance(error, MonitorRefusedError) and error.status in _WRONG_BATCH
                if not refused and error.status != _TOO_BIG:
                    raise
                if len(lines) > 1:
                    self._largest = len(lines) // 2
                    continue
                if not refused:  # somebody on the way takes none of that size: the monitor has not judged it
                    raise
                results: list[Outcome] = [{"outcome": "refused", "error": str(error)}]
            else:
                results = answer["results"]
                if held is not None and not results:
                    return Delivered(again=self._go_back(answer["held"]))
                if len(results) != len(lines):
                    raise self._not_understood(f"it answers for {len(results)} events where {len(lines)} were sent")
                held = answer["held"] if answer["held"]["positions"] else held
            self._keep_refused(lines, results)
            self._went_back = False
            self._remember({"offset": self._place["offset"] + size, "held": held})
            outcomes = [result["outcome"] for result in results]
            return Delivered(outcomes.count("accepted"), outcomes.count("duplicate"), outcomes.count("refused"))

    def _ask(self, lines: list[bytes]) -> Outcomes:
        held = self._place["held"]
        expected = b"" if held is None else b',"expected":' + json.dumps(held).encode()
        body = b'{"events":[' + b",".join(map(_item, lines)) + b"]" + expected + b"}"
        return self._client.ask("POST", "/api/events", Outcomes, content=body, headers=_JSON)

    def _go_back(self, held: Held) -> int:
        """To the first event that is not held; bytes from there on that had been taken."""
        before = self._place["offset"]
        with self._folder.events.open("rb") as stream:
            offset = min(before, missing_from(stream, held))
        self._remember({"offset": offset, "held": held})
        if self._went_back:
            raise self._not_understood("it holds now more and now less, as if several answered in turn")
        self._went_back = True
        return before - offset

    def _not_understood(self, cause: str) -> MonitorAwayError:
        return MonitorAwayError(f"the monitor at {self._client.address.url} is not understood: {cause}.", cause=cause)

    def _next_lines(self) -> tuple[list[bytes], int]:
        lines: list[bytes] = []
        size = 0
        with suppress(FileNotFoundError), self._folder.events.open("rb") as stream:
            stream.seek(self._place["offset"])
            for line in stream:
                is_full = len(lines) == self._largest or (lines and size + len(line) > _LARGEST_BYTES)
                if is_full or not line.endswith(b"\n"):
                    break
                size += len(line)
                if line.strip():
                    lines.append(line)
        return lines, size

    def _keep_refused(self, lines: list[bytes], results: list[Outcome]) -> None:
        refused = [
            {"error": result["error"] or "no reason is given", "line": line.decode(errors="replace").rstrip("\n")}
            for line, result in zip(lines, results, strict=True)
            if result["outcome"] == "refused"
        ]
        if refused:
            self.first_refusal = self.first_refusal or refused[0]["error"]
            with self._folder.refused_events.open("a") as stream:
                stream.write("".join(f"{json.dumps(each)}\n" for each in refused))

    def _remembered(self) -> dict[str, Place]:
        try:
            return _CURSOR.validate_python(read_json(self._folder.outbox))
        except (OSError, ValueError, RecursionError):  # none yet, or damaged: all is sent again, and dropped there
            return {}

    def _remember(self, place: Place) -> None:
        self._place = place
        write_json(self._folder.outbox, self._remembered() | {self._client.address.url: place})


def missing_from(log: Iterable[bytes], held: Held) -> int:
    """Bytes of the log before its first event that is not held; lines that are no events are no reason to go back.

    Args:
        log: line by line; one without its end is still being written.
        held: of all emitters of the run.
    """
    reached = {(each["run_id"], each["emitter_id"]): each["emitter_seq"] for each in held["positions"]}
    offset = 0
    for line in log:
        if not line.endswith(b"\n"):
            break
        try:
            event = json.loads(line)
            if event["emitter_seq"] > reached.get((event["run_id"], event["emitter_id"]), 0):
                break
        except (ValueError, RecursionError, KeyError, TypeError):
            pass
        offset += len(line)
    return offset


def _item(line: bytes) -> bytes:
    """A line as JSON: as it is, or, where it is none that everybody reads alike, as a text that the monitor refuses."""
    try:
        return json.dumps(json.loads(line), allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return json.dumps(line.decode(errors="replace")).encode()


class Outbox(Background):
    """Sends a run's events while the block runs; a monitor that is away never holds the run up.

    Args:
        reach: of the monitor; whoever reads what it says is also told of the first event that is refused, and at the
            end of what was refused or not delivered.
    """

    def __init__(self, folder: RunFolder, reach: MonitorReach, *, run_id: str) -> None:
        super().__init__("outbox")
        self._folder = folder
        self._reach = reach
        self._run_id = run_id
        self._client = MonitorClient(reach.address, emits=True)
        self._delivery = Delivery(folder, self._client)
        self._backoff = Backoff(2 * _LOOK_SECONDS, _LONGEST_BACKOFF_SECONDS)
        self._pause = _LOOK_SECONDS
        self._give_up_at = math.inf
        self._refused = 0
        self._disk_error = ""

    def _work(self) -> None:
        with self._client:
            while not self._ending.is_set():
                self._send()
                self._ending.wait(self._pause)
            while not self._send() and monotonic() + self._pause < self._give_up_at:
                time.sleep(min(self._pause, _FLUSH_PAUSE_SECONDS))

    def __exit__(self, *exception: object) -> None:
        _, error, _ = exception
        stopped = isinstance(error, (RunStoppedError, KeyboardInterrupt))
        # It may be in a request that nobody answers, which is of no use any more.
        self._patience = _FLUSH_OF_A_STOP_SECONDS if stopped else _FLUSH_SECONDS
        self._give_up_at = monotonic() + self._patience
        super().__exit__(*exception)
        self._report()

    @property
    def is_empty(self) -> bool:
        """Whether everything has reached the monitor."""
        try:
            return not self._delivery.waiting()
        except OSError:
            return False

    def _send(self) -> bool:
        """Send what is there; whether that is done, and not for later."""
        try:
            while monotonic() < self._give_up_at and (sent := self._delivery.send_next()) is not None:
                self._reach.answered(_PURPOSE)
                self._count_refused(sent.refused)
                if sent.again:
                    self._reach.say(
                        f"the monitor {self._reach.address.url} holds less of this run than it had taken: its database "
                        f"is another one, or an older copy. {sent.again:,} bytes of the log are sent again."
                    )
        except AskError as error:
            self._reach.failed(_PURPOSE, error)
            self._pause = self._backoff.after_failure(error.retry_after)
            return False
        except OSError as error:
            if str(error) != self._disk_error:
                self._disk_error = str(error)
                self._reach.say(
                    f"how far the monitor has the run's events cannot be written down: {error}. It is tried again."
                )
            self._pause = self._backoff.after_failure()
            return False
        self._disk_error, self._pause = "", _LOOK_SECONDS
        self._backoff.reset()
        return True

    def _count_refused(self, count: int) -> None:
        if count and not self._refused:
            self._reach.say(f"the monitor refuses an event of this run: {self._delivery.first_refusal}")
        self._refused += count

    def _report(self) -> None:
        if self._refused:
            self._reach.say(
                f"{self._refused} events were refused by the monitor and are kept in {self._folder.refused_events}; "
                f"the first because of {self._delivery.first_refusal}"
            )
        if not self.is_empty:
            self._reach.say(
                f"not all events have reached the monitor. Send the rest later with: "
                f"fedforge events import {self._run_id} --monitor {self._reach.address.url}"
            )
