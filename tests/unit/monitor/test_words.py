from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import get_args

import pytest

from monitor.activity import ACTIVITIES, CONDITIONS, Condition, activity_after, condition_of
from monitor.control import STATES, State
from monitor.reducer import NodeFacts, reduce_node
from monitor.schema import SENTENCES, TASKS, Event, EventBase, event_adapter, sentence, sentence_of
from monitor.views import view_of_node
from tests.unit.monitor.test_schema import CLASSES, fields


@pytest.mark.parametrize("event_type", sorted(CLASSES))
def test_every_event_says_one_whole_sentence(event_type: str) -> None:
    said = sentence_of(event_adapter.validate_python(fields(event_type)))

    assert re.fullmatch(r"[A-Z0-9].*", said)
    assert not re.search(r"[{}]|None|null", said)


def test_there_is_a_sentence_for_each_event_and_for_no_other() -> None:
    assert set(SENTENCES) == set(CLASSES)
    assert {len(get_args(get_args(Event)[0]))} == {len(SENTENCES)}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"type": "model_dispatched", "payload_bytes": 5_400_000},
            "The server asks Site 3 to train the model (5.4 MB).",
        ),
        ({"type": "client_train_completed", "latency_ms": 1250}, "Site 3 has trained for 1.2 s."),
        ({"type": "client_train_completed", "latency_ms": None}, "Site 3 has trained for some time."),
        (
            {"type": "node_error", "reason": "the text {node} of {round}"},
            "Site 3 has failed: the text {node} of {round}",
        ),
        (
            {"type": "command_settled", "status": "effective", "effective_round": 2},
            "It has come to pass at round 2: pause.",
        ),
        ({"type": "command_settled", "status": "failed"}, "The run came to an end before it could be done: pause."),
        ({"type": "round_started"}, "Round 1 begins with 3 sites."),
    ],
)
def test_a_sentence_says_what_the_event_says(changed: dict[str, object], expected: str) -> None:
    assert sentence(fields(str(changed["type"])) | changed) == expected


def test_what_is_not_known_yet_is_named() -> None:
    assert sentence({"type": "moon_landed", "node_id": "server"}) == "moon_landed."


def test_every_name_that_is_shown_has_its_words() -> None:
    assert set(STATES) == set(State)
    assert set(CONDITIONS) == set(Condition)
    events: list[EventBase] = [event_adapter.validate_python(fields(each)) for each in CLASSES]
    activities = {activity_after(event, None) for event in events if event_type_of(event) != "stage_progress"} - {None}
    assert activities <= set(ACTIVITIES)
    tasks = {getattr(event, "task", None) for event in events} - {None}
    assert tasks <= set(TASKS)


def event_type_of(event: EventBase) -> str:
    return str(getattr(event, "type", ""))


def test_only_of_a_site_that_sends_heartbeats_is_said_that_it_is_silent() -> None:
    assert condition_of("node_heartbeat", "busy", 29.0) is Condition.WORKING
    assert condition_of("node_heartbeat", "busy", 31.0) is Condition.SILENT
    assert condition_of("model_dispatched", "sent", 3600.0) is Condition.WAITING
    assert condition_of("client_train_started", "running", 3600.0) is Condition.WORKING


@pytest.mark.parametrize(
    ("status", "at", "expected"),
    [
        ("online", "asked", Condition.WAITING),
        ("online", "fetched", Condition.WORKING),
        ("online", "answering", Condition.ANSWERING),
        ("online", "idle", Condition.IDLE),
        ("offline", "fetched", Condition.OFFLINE),
    ],
)
def test_a_site_elsewhere_is_what_its_run_sees_of_it(status: str, at: str, expected: Condition) -> None:
    node = NodeFacts("client-3")
    event = event_adapter.validate_python(fields("site_seen") | {"status": status, "at": at})

    reduce_node(node, event, datetime(2026, 11, 28, tzinfo=UTC))

    assert view_of_node(node, datetime(2026, 11, 28, tzinfo=UTC)).condition is expected
