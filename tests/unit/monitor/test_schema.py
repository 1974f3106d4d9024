"""The contract between emitters and readers of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.schema import Event, EventBase, RunRequest, event_adapter

REQUIRED_TYPES = {
    "node_heartbeat", "round_started", "model_dispatched", "client_train_started", "client_train_completed",
    "client_update_uploaded", "aggregation_started", "aggregation_completed", "round_completed", "node_error",
    "run_requested", "run_paused", "run_resumed", "run_stopped",
}  # fmt: skip
ADDED_TYPES = {
    "run_started",
    "run_completed",
    "run_failed",
    "client_evaluated",
    "checkpoint_saved",
    "sites_awaited",
    "client_update_arriving",
}
DESCRIPTIONS = {
    "stage_progress",
    "run_described",
    "site_described",
    "site_evaluated",
    "run_evaluated",
    "run_bounded",
    "site_bounded",
}
OF_SITES_ELSEWHERE = {"site_seen", "events_dropped"}
DEEDS = {
    "command_given", "command_acknowledged", "command_settled", "run_claimed", "lease_ended", "run_lost", "run_back",
}  # fmt: skip
SPECIFIC: dict[str, dict[str, Any]] = {
    "run_requested": {"request": {"phase": "blood", "overrides": {"federation.rounds": 3, "dataset.limit": None}}},
    "run_started": {"engine": "inprocess", "rounds_total": 3, "clients": 10},
    "run_stopped": {"reason": "on request"},
    "run_failed": {"reason": "too few clients"},
    "run_completed": {"model_sha256": "0f" * 32},
    "checkpoint_saved": {"model_sha256": "0f" * 32},
    "node_error": {"reason": "no answer", "task": "train"},
    "round_started": {"participants": [0, 2, 5]},
    "model_dispatched": {"task": "train"},
    "sites_awaited": {"connected": 1, "missing": 2, "missing_nodes": ["client-1", "client-2"]},
    "client_update_arriving": {"task": "train", "parts": 3, "parts_total": 14},
    "client_update_uploaded": {"task": "evaluate"},
    "stage_progress": {"stage": "features"},
    "run_described": {
        "phase": "blood",
        "configuration": {"seed": 1, "federation": {"rounds": 3}},
        "artifacts": {"dataset": "0f"},
        "data": {
            "site_data": "partition",
            "source": "phantom",
            "official": False,
            "phantom": True,
            "title": "BloodMNIST",
            "fingerprint": "0f",
            "licence": "CC BY 4.0",
            "rows": {"train": 10, "test": 3},
            "class_names": ["a", "b"],
        },
        "backbone": {"name": "untrained", "sha256": "0f", "trained": False},
        "partition": {"name": "dirichlet", "parameters": {"alpha": 0.5}},
        "code": {"version": "0.1.0", "commit": None, "packages": {"torch": "2.14.1"}},
    },
    "site_described": {"rows": 100, "validation_rows": 20},
    "site_evaluated": {"rows": 20, "last_round": 3, "local_metrics": {}, "intervals": {}},
    "run_evaluated": {
        "model_sha256": "0f" * 32,
        "rows": 3,
        "intervals": {"accuracy": {"low": 0.1, "high": 0.9}},
        "level": 0.95,
        "resamples": 1000,
        "classes": [{"name": "a", "rows": 3, "sensitivity": None, "specificity": None}],
        "confusion": [[3]],
    },
    "run_bounded": {
        "budget_epochs": 3,
        "centralized": {"accuracy": 0.9},
        "closed_form": {"accuracy": 0.8},
        "sites": 3,
        "local": {"accuracy": {"lowest": 0.1, "median": 0.2, "highest": 0.3}},
    },
    "site_bounded": {"rows": 100},
    "site_seen": {"status": "online", "at": "fetched", "task": "train"},
    "events_dropped": {"task": "train", "count": 3, "reason": "its run_id is other, not blood-1"},
    "command_given": {"command_id": "c1", "command": "pause", "given_by": "Ada"},
    "command_acknowledged": {"command_id": "c1", "command": "pause"},
    "command_settled": {"command_id": "c1", "command": "pause", "status": "superseded"},
    "run_claimed": {"claimed_by": "agent on a", "url": "https://dagster.example/runs/1"},
    "lease_ended": {"claimed_by": "agent on a", "status": "expired"},
    "run_lost": {"claimable": True, "silent_seconds": 31.5},
}
CLASSES: dict[str, type[EventBase]] = {
    cls.model_fields["type"].default: cls for cls in get_args(get_args(Event)[0]) if issubclass(cls, EventBase)
}


def fields(event_type: str) -> dict[str, Any]:
    """A valid event of a type, as JSON has it."""
    return {
        "type": event_type,
        "event_id": str(uuid_utils.uuid7()),
        "emitter_id": "server-1-abc",
        "emitter_seq": 1,
        "ts": "2026-11-24T09:30:00.123456Z",
        "run_id": "blood-1",
        "round": 1,
        "node_id": "client-3",
        "role": "server",
        "latency_ms": 12.5,
        "payload_bytes": 400,
        "metrics": {"loss": 0.25},
        **SPECIFIC.get(event_type, {}),
    }


def refusal(event: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        event_adapter.validate_python(event)
    return "\n".join(".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in refused.value.errors())


def test_every_type_of_the_architecture_is_there_and_no_other() -> None:
    assert set(CLASSES) == REQUIRED_TYPES | ADDED_TYPES | DESCRIPTIONS | OF_SITES_ELSEWHERE | DEEDS
    assert len(REQUIRED_TYPES) == 14


@pytest.mark.parametrize("event_type", sorted(CLASSES))
def test_an_event_survives_json(event_type: str) -> None:
    event = event_adapter.validate_python(fields(event_type))

    assert type(event) is CLASSES[event_type]
    assert event_adapter.validate_json(event.model_dump_json()) == event
    assert event_adapter.validate_python(event.model_dump(mode="json")) == event
    assert event.status


@pytest.mark.parametrize("event_type", sorted(CLASSES))
def test_an_event_needs_no_more_than_its_own_facts(event_type: str) -> None:
    short = {
        key: value for key, value in fields(event_type).items() if key not in {"latency_ms", "payload_bytes", "metrics"}
    }

    event = event_adapter.validate_python(short)

    assert (event.latency_ms, event.payload_bytes, event.metrics) == (None, None, {})
    assert (event.schema_version, event.attempt) == (1, 1)


@pytest.mark.parametrize("event_type", sorted(CLASSES))
def test_a_missing_fact_is_named(event_type: str) -> None:
    optional = {
        "type",
        "latency_ms",
        "payload_bytes",
        "metrics",
        "url",
        "task" if event_type in ("node_error", "site_seen") else "",
    }
    for name in fields(event_type).keys() - optional:
        assert f"{name}: Field required" in refusal(
            {key: value for key, value in fields(event_type).items() if key != name}
        )


@pytest.mark.parametrize("event_type", sorted(CLASSES))
def test_an_additional_field_is_refused_by_name(event_type: str) -> None:
    assert "colour: Extra inputs are not permitted" in refusal({**fields(event_type), "colour": "red"})


@pytest.mark.parametrize("event_type", ["", "run_exploded", "NODE_ERROR", None, 3])
def test_an_unknown_type_is_refused(event_type: object) -> None:
    assert "does not match any of the expected tags" in refusal({**fields("node_heartbeat"), "type": event_type})


def test_an_event_without_a_type_is_refused() -> None:
    event = fields("node_heartbeat")
    del event["type"]

    assert "Unable to extract tag using discriminator 'type'" in refusal(event)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema_version", 2), ("event_id", "not a uuid"), ("emitter_seq", 0), ("emitter_seq", -1),
        ("emitter_seq", "many"), ("attempt", 0), ("round", -1), ("round", 1.5), ("ts", "yesterday"),
        ("ts", "2026-11-24T09:30:00"), ("run_id", ""), ("run_id", "../run"), ("run_id", "a" * 65),
        ("node_id", "client 3"), ("emitter_id", "-1"), ("role", "monitor"), ("latency_ms", -0.1),
        ("latency_ms", float("nan")), ("latency_ms", float("inf")), ("payload_bytes", -1), ("payload_bytes", 0.5),
        ("metrics", {"loss": float("nan")}), ("metrics", {"loss": float("inf")}), ("metrics", {"loss": "low"}),
        ("metrics", {"loss": None}), ("metrics", [0.5]), ("status", "asleep"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_by_name(name: str, value: object) -> None:
    assert f"node_heartbeat.{name}" in refusal({**fields("node_heartbeat"), name: value})


@pytest.mark.parametrize(
    ("event_type", "name", "value"),
    [
        ("node_error", "reason", ""), ("node_error", "reason", "x" * 2001), ("node_error", "task", "sleep"),
        ("run_stopped", "reason", ""), ("run_failed", "reason", None), ("run_completed", "model_sha256", "0f"),
        ("run_completed", "model_sha256", "0F" * 32), ("checkpoint_saved", "model_sha256", "g" * 64),
        ("run_started", "rounds_total", 0), ("run_started", "clients", 0), ("round_started", "participants", ["a"]),
        ("model_dispatched", "task", "query"), ("run_paused", "status", "running"),
        ("run_requested", "request", {"phase": "../retina"}),
        ("run_requested", "request", {"phase": "blood", "overrides": {"rounds": [[1]]}}),
    ],
)  # fmt: skip
def test_a_bad_fact_of_a_type_is_refused_by_name(event_type: str, name: str, value: object) -> None:
    assert f"{event_type}.{name}" in refusal({**fields(event_type), name: value})


def test_nan_in_json_is_refused() -> None:
    text = event_adapter.validate_python(fields("node_heartbeat")).model_dump_json().replace("0.25", "NaN")

    with pytest.raises(ValidationError, match="metrics"):
        event_adapter.validate_json(text)


def test_an_event_cannot_be_changed() -> None:
    event = event_adapter.validate_python(fields("node_heartbeat"))

    with pytest.raises(ValidationError, match="frozen"):
        event.round = 2


def test_moments_of_any_zone_are_the_same_moment() -> None:
    event = event_adapter.validate_python({**fields("node_heartbeat"), "ts": "2026-11-24T10:30:00+01:00"})

    assert event.ts == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert event_adapter.validate_json(event.model_dump_json()).ts - event.ts == timedelta(0)


@given(
    name=st.text(min_size=1, max_size=20),
    value=st.floats(allow_nan=False, allow_infinity=False),
    reason=st.text(min_size=1, max_size=2000),
)
def test_metrics_and_reasons_survive_json_exactly(name: str, value: float, reason: str) -> None:
    event = event_adapter.validate_python({**fields("node_error"), "metrics": {name: value}, "reason": reason})

    assert event_adapter.validate_json(event.model_dump_json()) == event
    assert "\n" not in event.model_dump_json()


def test_the_json_schema_tells_types_apart_by_their_name() -> None:
    schema = event_adapter.json_schema()

    assert schema["discriminator"]["propertyName"] == "type"
    assert set(schema["discriminator"]["mapping"]) == set(CLASSES)


@pytest.mark.parametrize("request_fields", [{}, {"phase": "blood", "profile": "a b"}, {"phase": "blood", "more": 1}])
def test_a_wrong_request_for_a_run_is_refused(request_fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RunRequest.model_validate(request_fields)
