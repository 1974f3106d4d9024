"""Whatever becomes of a monitor's database, a sender that goes back to what is held delivers all, in order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.telemetry.answers import Held
from fedforge_runtime.telemetry.place import missing_from
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

    def includes(self, expected: Held) -> bool:
        of_all = Holding.model_validate(self.held({emitter for emitter, _ in self.events}))
        return of_all.includes(Holding.model_validate(expected))

    def take(self, batch: list[Numbered]) -> Held:
        self.events += [event for event in batch if event not in self.events]
        return self.held({emitter for emitter, _ in batch})


emitters = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40)
fates = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 10)),
        st.tuples(st.just("copy"), st.just(0)),
        st.tuples(st.sampled_from(["restore", "lose"]), st.just(0)),
    ),
    max_size=30,
)


@given(emitters, fates)
def test_a_lost_or_restored_database_has_everything_in_the_end_and_in_the_order_of_the_log(
    emitters: list[str], fates: list[tuple[str, int]]
) -> None:
    log = log_of(emitters)
    lines = [line_of(event) for event in log]
    number = 0
    database = copy = Database("0" * 32)
    taken, expected = 0, None

    def send(size: int) -> None:
        nonlocal taken, expected
        if expected is not None and not database.includes(expected):
            expected = database.held(set(emitters))
            taken = min(taken, len(_until(lines, missing_from(lines, expected))))
        elif batch := log[taken : taken + size]:
            expected = database.take(batch)
            taken += len(batch)

    for fate, size in [*fates, *[("send", 10)] * (2 + len(log) // 10)]:
        if fate == "send":
            send(size)
        elif fate == "copy":
            copy = Database(database.identity, list(database.events))
        elif fate == "restore":
            database = Database(copy.identity, list(copy.events))
        else:
            number += 1
            database = Database(f"{number:032x}")
    if taken == len(log) and expected is not None and not database.includes(expected):
        return  # lost once everything was delivered: there is nothing to send by which it would be noticed
    while taken < len(log):
        send(10)

    assert database.events == log


def _until(lines: list[bytes], offset: int) -> list[bytes]:
    """The lines before an offset, which is where one of them begins."""
    found, size = [], 0
    while size < offset:
        found.append(lines[len(found)])
        size += len(found[-1])
    assert size == offset
    return found


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
