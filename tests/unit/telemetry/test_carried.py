"""What a site says inside its answers: its own events come through as they are, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedforge_runtime.telemetry.carried import MOST_BYTES, CarriedCheck, CarriedEvents
from monitor.schema import ClientEvaluated, ClientTrainCompleted, ClientTrainStarted, NodeError, SiteDescribed


@pytest.fixture
def site() -> CarriedEvents:
    return CarriedEvents(run_id="run", attempt=2)


@pytest.fixture
def check() -> CarriedCheck:
    return CarriedCheck("run", 2)


def lines_of(site: CarriedEvents, *, round_number: int = 1, node_id: str = "client-0") -> bytes:
    site.emit(ClientTrainStarted, round_number=round_number, node_id=node_id)
    site.emit(ClientTrainCompleted, round_number=round_number, node_id=node_id, metrics={"loss": 0.5})
    return site.take()


def test_a_sites_own_events_come_through_as_they_are(site: CarriedEvents, check: CarriedCheck) -> None:
    lines = lines_of(site)

    checked = check.check(lines, node_id="client-0", round_number=1)

    assert (checked.dropped, checked.reason) == (0, "")
    assert [event.model_dump_json().encode() for event in checked.events] == lines.splitlines()
    assert [event.emitter_seq for event in checked.events] == [1, 2]
    assert check.check(lines_of(site, round_number=2), node_id="client-0", round_number=2).dropped == 0


def test_what_does_not_fit_shows_as_a_gap(site: CarriedEvents, check: CarriedCheck) -> None:
    half = {f"metric-{number}": 0.5 for number in range(1500)}
    for _ in range(4):
        site.emit(ClientEvaluated, round_number=1, node_id="client-0", metrics=half)
    site.emit(ClientEvaluated, round_number=1, node_id="client-0")

    lines = site.take()

    assert MOST_BYTES // 2 < len(lines) <= MOST_BYTES
    assert [each.emitter_seq for each in check.check(lines, node_id="client-0", round_number=1).events] == [1, 2, 5]
    assert site.take() == b""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"run_id": "another"}, "its run_id is another, not run"),
        ({"attempt": 1}, "its attempt is 1, not 2"),
        ({"round": 9}, "its round is 9, not 1"),
        ({"node_id": "client-1"}, "its node_id is client-1, not client-0"),
        ({"role": "server"}, "its role is server, not client"),
        ({"emitter_id": "server-1-abc"}, "its emitter_id server-1-abc is somebody else's"),
        ({"type": "node_error", "status": "failed", "reason": "x"}, "node_error is not for a site to say"),
        (
            {"type": "run_completed", "status": "completed", "model_sha256": "0f" * 32},
            "run_completed is not for a site to say",
        ),
        ({"colour": "red"}, "a line is no event"),
    ],
)
def test_what_is_not_its_own_to_say_is_dropped_and_named(
    site: CarriedEvents, check: CarriedCheck, change: dict[str, Any], reason: str
) -> None:
    first, second = lines_of(site).splitlines()
    forged = json.dumps(json.loads(first) | change).encode()

    checked = check.check(b"\n".join([forged, second]), node_id="client-0", round_number=1)

    assert [event.emitter_seq for event in checked.events] == [2]
    assert checked.dropped == 1
    assert checked.reason.startswith(reason)


@pytest.mark.parametrize(
    ("lines", "dropped", "reason"),
    [
        ("a text", 1, "they are no lines"),
        (b"\xff\xfe\n{}\n[", 3, "a line is no event"),
        (b"x" * (10 * 1024 * 1024), 1, "they have 10,485,760 bytes, and 65,536 may come"),
        (b"[" * 60_000, 1, "a line is no event"),
    ],
    ids=["no bytes", "garbage", "10 MB", "deep"],
)
def test_garbage_is_dropped_and_counted(check: CarriedCheck, lines: object, dropped: int, reason: str) -> None:
    checked = check.check(lines, node_id="client-0", round_number=1)

    assert (checked.events, checked.dropped) == ([], dropped)
    assert checked.reason.startswith(reason)


def test_an_event_that_comes_again_is_dropped(site: CarriedEvents, check: CarriedCheck) -> None:
    lines = lines_of(site)
    check.check(lines, node_id="client-0", round_number=1)

    again = check.check(lines, node_id="client-0", round_number=1)

    assert (again.events, again.dropped, again.reason) == ([], 2, "its emitter_seq is 1, after 2")


def test_one_site_does_not_speak_with_anothers_counter(site: CarriedEvents, check: CarriedCheck) -> None:
    check.check(lines_of(site), node_id="client-0", round_number=1)

    stolen = check.check(lines_of(site, node_id="client-1"), node_id="client-1", round_number=1)

    assert (stolen.events, stolen.dropped) == ([], 2)
    assert stolen.reason == f"its emitter_id {site.emitter_id} is somebody else's"


def test_an_error_that_a_site_would_say_of_itself_is_the_runs_to_say(site: CarriedEvents, check: CarriedCheck) -> None:
    site.emit(NodeError, round_number=1, node_id="client-0", reason="ill")

    assert check.check(site.take(), node_id="client-0", round_number=1).dropped == 1


def test_an_event_that_is_too_large_once_it_is_spelled_out_is_dropped(site: CarriedEvents, check: CarriedCheck) -> None:
    event = json.loads(lines_of(site).splitlines()[0])
    event["metrics"] = {f"m{number:x}": 1 for number in range(6800)}
    line = json.dumps(event, separators=(",", ":")).encode()
    assert len(line) < MOST_BYTES

    checked = check.check(line, node_id="client-0", round_number=1)

    assert (checked.events, checked.dropped) == ([], 1)
    assert checked.reason == "client_train_started has more than 65,536 bytes"


def test_a_counter_that_leaps_is_not_believed(site: CarriedEvents, check: CarriedCheck) -> None:
    event = json.loads(lines_of(site).splitlines()[0]) | {"emitter_seq": 2**53 - 1}

    checked = check.check(json.dumps(event).encode(), node_id="client-0", round_number=1)

    assert (checked.events, checked.reason) == ([], "its emitter_seq is 9007199254740991, after 0")


def test_what_a_site_holds_is_its_own_to_say_where_the_data_are_its_own(site: CarriedEvents) -> None:
    holds = {"rows": 90, "validation_rows": 10, "rows_per_class": [">=5", "<5", 40]}
    site.emit(SiteDescribed, round_number=1, node_id="client-0", **holds)
    lines = site.take()

    of_others = CarriedCheck("run", 2).check(lines, node_id="client-0", round_number=1)
    of_its_own = CarriedCheck("run", 2, own_data=True).check(lines, node_id="client-0", round_number=1)

    assert (of_others.events, of_others.reason) == ([], "site_described is not for a site to say")
    assert [event.type for event in of_its_own.events] == ["site_described"]
