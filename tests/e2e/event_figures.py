"""Whether the figures in a run's events are those of what happened, counted another way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from safetensors.numpy import load_file

from monitor.schema import (
    ClientTrainCompleted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeHeartbeat,
    RoundCompleted,
    RoundStarted,
)

REQUIRED = {
    "node_heartbeat", "round_started", "model_dispatched", "client_train_started", "client_train_completed",
    "client_update_uploaded", "aggregation_started", "aggregation_completed", "round_completed", "node_error",
    "run_requested", "run_paused", "run_resumed", "run_stopped",
    "run_started", "run_completed", "run_failed", "client_evaluated", "checkpoint_saved",
    "stage_progress", "run_described", "run_evaluated", "site_described", "site_evaluated",
}  # fmt: skip
_BESIDE_THE_MODEL = 8192
"""Bytes of a message that are not its model's: names, the round's settings, the means and scales of features."""
_CLOCKS_MS = 50.0
"""By how much the clock of the times may run away from that of the durations within a round."""


def assert_payloads_are_those_of_the_models(events: Sequence[Event], checkpoints: Path) -> None:
    """Each message with a model is as large as the model's file says."""
    exchanged = [event for event in events if isinstance(event, ModelDispatched | ClientUpdateUploaded)]
    weighed = 0
    for event in exchanged:
        if event.type == "client_update_uploaded" and event.task != "train":  # figures alone come back
            assert event.payload_bytes is not None
            assert 0 < event.payload_bytes < _BESIDE_THE_MODEL
            continue
        if event.task not in ("train", "evaluate"):
            continue
        sent = event.round - (event.task == "train" and event.type == "model_dispatched")
        file = checkpoints / f"round-{sent:05}" / "model.safetensors"
        if file.exists():  # of a round that was stopped there is none
            size = sum(tensor.nbytes for tensor in load_file(file).values())
            assert event.payload_bytes is not None
            assert size <= event.payload_bytes <= size + _BESIDE_THE_MODEL
            weighed += 1
    assert weighed


def assert_latencies_contain_each_other(events: Sequence[Event]) -> None:
    """A client's work is within its round trip, that within its round, and that between what the log has around it."""
    before: datetime | None = None
    begun: dict[tuple[int, int], tuple[datetime, datetime]] = {}
    arrived: dict[tuple[int, int], datetime] = {}
    trips: dict[tuple[int, int, str, str], float] = {}
    trained: dict[tuple[int, int, str], float] = {}
    for event in events:
        at = (event.attempt, event.round)
        match event:
            case RoundStarted():
                assert before is not None
                begun[at] = before, event.ts
            case ClientTrainCompleted():
                assert event.latency_ms is not None
                trained[*at, event.node_id] = event.latency_ms
            case ClientUpdateUploaded():
                assert event.latency_ms is not None
                trips[*at, event.node_id, event.task] = event.latency_ms
                arrived[at] = event.ts
            case RoundCompleted():
                assert event.latency_ms is not None
                earliest, latest = begun[at]
                assert event.latency_ms >= _milliseconds(latest, arrived[at]) - _CLOCKS_MS
                assert event.latency_ms <= _milliseconds(earliest, event.ts) + _CLOCKS_MS
                for task in ("train", "evaluate"):
                    of_round = [value for key, value in trips.items() if key[:2] == at and key[3] == task]
                    assert of_round
                    assert max(of_round) <= event.latency_ms
            case _:
                pass
        if event.role == "server" and not isinstance(event, NodeHeartbeat):
            before = event.ts
    assert trained
    for (attempt, number, node), latency in trained.items():
        trip = trips.get((attempt, number, node, "train"))
        assert trip is None or 0 < latency <= trip


def _milliseconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000
