"""Whatever becomes of a monitor's database, a sender that goes back to what is held delivers all, in order."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.errors import MonitorAwayError
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.answers import Held
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Delivery, missing_from
from monitor.schema import Holding

RUN = "the-run"
Numbered = tuple[str, int]
"""An event: its emitter, and its number there."""


def line_of(event: Numbered) -> bytes:
    return json.dumps({"run_id": RUN, "emitter_id": event[0], "emitter_seq": event[1]}).encode() + b"\n"


def log_of(emitters: list[str]) -> list[Numbered]:
    """Each emitter counts 1, 2, 3 …"""
    count = dict.fromkeys(emitters, 0)
    events = []
    for emitter in emitters:
        count[emitter] += 1
        events.append((emitter, count[emitter]))
    return events


@dataclass
class Database:
    """What a monitor keeps of one run, in the order of arrival."""

    identity: str
    events: list[Numbered] = field(default_factory=list)

    def held(self, emitters: set[str]) -> Held:
        highest = {emitter: number for emitter, number in sorted(self.events) if emitter in emitters}
        positions = [{"run_id": RUN, "emitter_id": each, "emitter_seq": highest[each]} for each in highest]
        return {"database": self.identity, "positions": positions}  # type: ignore[typeddict-item]

    def all_held(self) -> Held:
        return self.held({emitter for emitter, _ in self.events})

    def includes(self, expected: Held) -> bool:
        return Holding.model_validate(self.all_held()).includes(Holding.model_validate(expected))

    def take(self, batch: list[Numbered]) -> Held:
        self.events += [event for event in batch if event not in self.events]
        return self.held({emitter for emitter, _ in batch})


class MonitorInMemory(MonitorClient):
    """Answers as a monitor does, from a database that may become another between two requests."""

    def __init__(self, database: Database) -> None:
        super().__init__(MonitorAddress("http://in-memory"))
        self.database = database

    def ask(self, method: str, path: str, shape: Any, **request: Any) -> Any:
        document = json.loads(request["content"])
        batch = [(each["emitter_id"], each["emitter_seq"]) for each in document["events"]]
        if "expected" in document and not self.database.includes(document["expected"]):
            return {"results": [], "held": self.database.all_held()}
        results = [
            {"outcome": "duplicate" if event in self.database.events else "accepted", "error": None} for event in batch
        ]
        return {"results": results, "held": self.database.take(batch)}


emitters = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30)
fates = st.lists(
    st.sampled_from(["emit", "emit", "send", "send", "copy", "restore", "lose", "begin anew"]), max_size=30
)


@settings(max_examples=80, deadline=None)
@given(emitters, fates)
def test_a_lost_or_restored_database_has_everything_in_the_end_and_in_the_order_of_the_log(
    emitters: list[str], fates: list[str]
) -> None:
    log, number, copy = log_of(emitters), 0, Database("0" * 32)
    with tempfile.TemporaryDirectory() as folder, MonitorInMemory(Database("0" * 32)) as monitor:
        files = RunFolder(Path(folder))
        files.events.touch()
        waiting = iter(log[:-1])
        delivery = Delivery(files, monitor)

        def emit(event: Numbered | None) -> None:
            if event is not None:
                with files.events.open("ab") as stream:
                    stream.write(line_of(event))

        def send() -> bool:
            try:
                return delivery.send_next() is not None
            except MonitorAwayError:  # it has changed twice without having taken anything: tried again after a pause
                return True

        for fate in fates:
            if fate == "emit":
                emit(next(waiting, None))
            elif fate == "send":
                send()
            elif fate == "copy":
                copy = Database(monitor.database.identity, list(monitor.database.events))
            elif fate == "restore":
                monitor.database = Database(copy.identity, list(copy.events))
            elif fate == "lose":
                number += 1
                monitor.database = Database(f"{number:032x}")
            else:
                delivery = Delivery(files, monitor)
        for event in waiting:
            emit(event)
        emit(log[-1])  # what is lost once all was delivered is noticed with the next event
        while send():
            pass

        assert monitor.database.events == log
        assert not files.refused_events.exists()


@given(emitters, st.data())
def test_the_first_event_that_is_not_held_is_found_whatever_stands_between(
    emitters: list[str], data: st.DataObject
) -> None:
    log = log_of(emitters)
    kept = data.draw(st.integers(0, len(log)))
    noise = st.sampled_from([b"\n", b"[1, 2\n", b'"text"\n', b'{"emitter_seq": "7"}\n', b"[" * 5000 + b"\n", b"null\n"])
    lines, start = [], 0
    for number, event in enumerate(log):
        lines += data.draw(st.lists(noise, max_size=2))
        if number == kept:
            start = sum(len(line) for line in lines)
        lines.append(line_of(event))
    if kept == len(log):
        start = sum(len(line) for line in lines)
        lines.append(line_of(("d", 1))[:-5])  # still being written

    assert missing_from(lines, Database("0" * 32, log[:kept]).held(set(emitters))) == start


def test_another_database_holds_nothing_of_what_the_former_held() -> None:
    position = {"run_id": RUN, "emitter_id": "a", "emitter_seq": 3}
    former = Holding.model_validate({"database": "0" * 32, "positions": []})
    other = Holding.model_validate({"database": "1" * 32, "positions": [position]})

    assert other.includes(other)
    assert not other.includes(former)
    assert not former.includes(former.model_copy(update={"positions": other.positions}))
