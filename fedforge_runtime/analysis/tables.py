"""The frames of a run: their columns, and how they are made of records or, where there are none, of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fedforge_runtime.learning.metric_names import METRIC_NAMES
from monitor.schema import (
    CheckpointSaved,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeError,
    RoundCompleted,
    RunDescribed,
    SiteDescribed,
    Task,
    sentence_of,
)

Row = Mapping[str, Any]

ROUNDS: Mapping[str, str] = {
    "round": "int64",
    "mode": "str",
    "clients": "int64",
    "failures": "int64",
    "training_loss": "float64",
    **{f"validation_{name}": "float64" for name in METRIC_NAMES},
    "seconds": "float64",
    "bytes_sent": "int64",
    "bytes_received": "int64",
    "model_sha256": "str",
}
"""Columns of `rounds.csv` and their types."""

CLIENTS: Mapping[str, str] = {
    "round": "int64",
    "client": "int64",
    "rows": "Int64",
    "validation_rows": "Int64",
    "training_loss": "float64",
    **{f"local_{name}": "float64" for name in METRIC_NAMES},
    **{f"global_{name}": "float64" for name in METRIC_NAMES},
    "seconds": "float64",
    "round_trip_seconds": "float64",
    "bytes_sent": "int64",
    "bytes_received": "int64",
}
"""Columns of `clients.csv` and their types; the numbers of rows may be unknown, where a site's word was lost."""

EVENTS: Mapping[str, str] = {
    "event_id": "str",
    "emitter_id": "str",
    "emitter_seq": "int64",
    "ts": "datetime64[us, UTC]",
    "run_id": "str",
    "attempt": "int64",
    "round": "int64",
    "node_id": "str",
    "role": "str",
    "type": "str",
    "status": "str",
    "task": "str",
    "reason": "str",
    "latency_ms": "float64",
    "payload_bytes": "Int64",
    "metrics": "object",
    "sentence": "str",
}
"""Columns of a frame of events: what the contract gives all of them, `task` and `reason` of those that have one, and
what the event says in words."""

EventsOfRound = Sequence[Event]


def frame(rows: Iterable[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a frame of exactly these columns and types, also where there is no row; what is absent is missing."""
    kept = [{name: None if row.get(name, "") == "" else row[name] for name in columns} for row in rows]
    return pd.DataFrame(kept, columns=list(columns)).astype(dict(columns))


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """One line for each event, in the order given."""
    return frame(
        (
            {name: getattr(event, name, None) for name in EVENTS}
            | {"event_id": str(event.event_id), "sentence": sentence_of(event)}
            for event in events
        ),
        EVENTS,
    )


def completed_rounds(events: Iterable[Event]) -> dict[int, EventsOfRound]:
    """The events of each round that was completed, by its number, ascending.

    A round that was begun in several attempts is that of the last one that completed it; what others did in it, a
    stopped or killed one, was discarded.
    """
    of_attempts: dict[tuple[int, int], list[Event]] = defaultdict(list)
    completed: dict[int, int] = {}
    for event in events:
        of_attempts[event.round, event.attempt].append(event)
        if isinstance(event, RoundCompleted):
            completed[event.round] = max(event.attempt, completed.get(event.round, 0))
    return {number: of_attempts[number, attempt] for number, attempt in sorted(completed.items())}


def client_of(node_id: str) -> int | None:
    """The number of a site by the name of its node, `client-<number>`; `None` of the server and of the monitor."""
    site, number = node_id.partition("-")[::2]
    return int(number) if site == "client" and number.isdecimal() else None


def rounds_of(events: Sequence[Event]) -> list[Row]:
    """The rows of `rounds.csv`, from events alone: the same but for durations, which events have in milliseconds.

    A round whose end was never said, as its process died between checkpoint and word, is not there.
    """
    described = next((event for event in reversed(events) if isinstance(event, RunDescribed)), None)
    return [_round_row(number, of_round, described) for number, of_round in completed_rounds(events).items()]


def clients_of(events: Sequence[Event]) -> list[Row]:
    """The rows of `clients.csv`, from events alone; as `rounds_of`."""
    described = {event.node_id: event for event in events if isinstance(event, SiteDescribed)}
    return [
        _client_row(number, node_id, of_round, described.get(node_id))
        for number, of_round in completed_rounds(events).items()
        for node_id in sorted(_answered(of_round, "train"), key=lambda node: client_of(node) or 0)
    ]


def _round_row(number: int, events: EventsOfRound, described: RunDescribed | None) -> Row:
    completed = next(event for event in reversed(events) if isinstance(event, RoundCompleted))
    saved = next((event.model_sha256 for event in reversed(events) if isinstance(event, CheckpointSaved)), None)
    metrics = completed.metrics
    return {
        "round": number,
        "mode": _mode_in(number, described),
        "clients": len(_answered(events, "train")),
        "failures": len(_failed(events, "train") | _failed(events, "evaluate")),
        "training_loss": metrics.get("training_loss"),
        **{f"validation_{name}": metrics.get(name) for name in METRIC_NAMES},
        "seconds": _seconds(completed),
        "bytes_sent": _bytes(events, ModelDispatched),
        "bytes_received": _bytes(events, ClientUpdateUploaded),
        "model_sha256": saved,
    }


def _client_row(number: int, node_id: str, events: EventsOfRound, described: SiteDescribed | None) -> Row:
    own = [event for event in events if event.node_id == node_id]
    trained = next((event for event in own if isinstance(event, ClientTrainCompleted)), None)
    answered = node_id in _answered(own, "evaluate")
    evaluated = next((event for event in own if isinstance(event, ClientEvaluated)), None) if answered else None
    uploaded = next(event for event in own if isinstance(event, ClientUpdateUploaded) and event.task == "train")
    exchanged = [event for event in own if answered or getattr(event, "task", None) == "train"]
    return {
        "round": number,
        "client": client_of(node_id),
        "rows": described.rows if described else None,
        "validation_rows": described.validation_rows if described else None,
        "training_loss": trained.metrics.get("training_loss") if trained else None,
        **{f"local_{name}": trained.metrics.get(name) if trained else None for name in METRIC_NAMES},
        **{f"global_{name}": evaluated.metrics.get(name) if evaluated else None for name in METRIC_NAMES},
        "seconds": _seconds(trained),
        "round_trip_seconds": _seconds(uploaded),
        "bytes_sent": _bytes(exchanged, ModelDispatched),
        "bytes_received": _bytes(exchanged, ClientUpdateUploaded),
    }


def _failed(events: EventsOfRound, task: Task) -> set[str]:
    return {event.node_id for event in events if isinstance(event, NodeError) and event.task == task}


def _answered(events: EventsOfRound, task: Task) -> set[str]:
    """Whose answer came and could be used."""
    came = {event.node_id for event in events if isinstance(event, ClientUpdateUploaded) and event.task == task}
    return came - _failed(events, task)


def _bytes(events: EventsOfRound, kind: type[ModelDispatched] | type[ClientUpdateUploaded]) -> int:
    return sum(event.payload_bytes or 0 for event in events if isinstance(event, kind))


def _seconds(event: Event | None) -> float | None:
    return None if event is None or event.latency_ms is None else event.latency_ms / 1000


def _mode_in(number: int, described: RunDescribed | None) -> str | None:
    """What is trained in a round, as the run's configuration says."""
    learning = described.configuration.get("learning") if described else None
    if not isinstance(learning, dict):
        return None
    head_rounds = learning.get("head_rounds")
    staged = isinstance(head_rounds, (int, float)) and number <= head_rounds
    return "head_only" if staged else str(learning.get("mode"))
