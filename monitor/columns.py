"""A run as columns, an array a field: what charts and the way through time read, without a word a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import String, type_coerce
from sqlmodel import Session, col, select

from monitor.shapes import Series, SiteSeries, Timeline
from monitor.tables import EventRow, RunRow

_OF_EMITTERS = {"schema_version", "event_id", "emitter_id", "emitter_seq", "run_id"}
_ELSEWHERE = _OF_EMITTERS | {
    "type", "ts", "attempt", "round", "node_id", "role", "status", "task", "latency_ms", "payload_bytes", "metrics",
}  # fmt: skip
_COLUMNS = (
    "seq", "received_ms", "ts_ms", "type", "node", "role", "status", "task", "round", "attempt", "latency_ms",
    "payload_bytes",
)  # fmt: skip
"""In the order of a row."""
_OF_SITES = ("client_train_completed", "client_update_uploaded", "client_evaluated", "node_error")
_OF_ROUNDS = ("round_started", "round_completed")


def timeline(session: Session, run: RunRow, *, after: int, limit: int) -> Timeline:
    """The events of a run after `seq`, as columns. Heartbeats are left out."""
    kinds, nodes, roles, statuses, tasks = _Numbers(), _Numbers(), _Numbers(), _Numbers(), _Numbers()
    metric_names = _Numbers()
    rows: list[tuple[Any, ...]] = []
    deeds: list[int] = []
    metrics: list[tuple[int, int, float]] = []
    rest: dict[int, dict[str, Any]] = {}
    query = (
        select(EventRow.seq, type_coerce(EventRow.received_at, String), EventRow.deed, EventRow.body)
        .where(EventRow.run_id == run.run_id, col(EventRow.seq) > after, EventRow.type != "node_heartbeat")
        .order_by(col(EventRow.seq))
        .limit(limit)
    )
    for place, (seq, received_at, deed, body) in enumerate(session.exec(query)):
        event = json.loads(body)
        task = event.get("task")
        rows.append(
            (
                seq,
                _milliseconds(received_at),
                _milliseconds(event["ts"]),
                kinds.of(event["type"]),
                nodes.of(event["node_id"]),
                roles.of(event["role"]),
                statuses.of(event["status"]),
                None if task is None else tasks.of(task),
                event["round"],
                event["attempt"],
                event["latency_ms"],
                event["payload_bytes"],
            )
        )
        if deed:
            deeds.append(place)
        metrics += [(place, metric_names.of(name), value) for name, value in event["metrics"].items()]
        few = {name: value for name, value in event.items() if name not in _ELSEWHERE and value is not None}
        if few:
            rest[place] = few
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    return Timeline.model_construct(
        None,  # and 100,000 events are not validated again
        run_id=run.run_id,
        last_seq=run.last_seq,
        next_after=rows[-1][0] if len(rows) == limit else None,
        types=kinds.names,
        nodes=nodes.names,
        roles=roles.names,
        statuses=statuses.names,
        tasks=tasks.names,
        **dict(zip(_COLUMNS, map(list, columns), strict=True)),
        deeds=deeds,
        metric_names=metric_names.names,
        metric_place=[place for place, _, _ in metrics],
        metric_name=[name for _, name, _ in metrics],
        metric_value=[value for _, _, value in metrics],
        rest=rest,
    )


def series(session: Session, run: RunRow) -> Series:
    """What changes from round to round, of the run and of each site: of a round done again, the last time."""
    rounds: dict[int, dict[str, Any]] = {}
    sites: dict[str, dict[int, dict[str, Any]]] = {}
    for kind, event in _events(session, run.run_id, (*_OF_ROUNDS, *_OF_SITES)):
        number = event["round"]
        if number == 0:
            continue
        if kind == "round_started":
            rounds[number] = {
                "started_ms": _milliseconds(event["ts"]),
                "attempt": event["attempt"],
            }
            for values in sites.values():
                values.pop(number, None)
        elif kind == "round_completed":
            known = rounds.setdefault(number, {"attempt": event["attempt"]})
            known |= {"seconds": _seconds(event), "payload_bytes": event["payload_bytes"], **_metrics(event)}
        else:
            _note_site(sites.setdefault(event["node_id"], {}).setdefault(number, {}), kind, event)
    return Series(
        round=list(rounds),
        columns=_columned(rounds),
        sites=[
            SiteSeries(node_id=name, round=list(values), columns=_columned(values))
            for name, values in sorted(sites.items())
            if values
        ],
    )


def _note_site(known: dict[str, Any], kind: str, event: dict[str, Any]) -> None:
    match kind:
        case "client_train_completed":
            known |= {"train_seconds": _seconds(event), **_metrics(event, "local_")}
        case "client_evaluated":
            known |= {"evaluate_seconds": _seconds(event), **_metrics(event)}
        case "client_update_uploaded":
            task = event["task"]
            known |= {f"{task}_round_trip_seconds": _seconds(event), f"{task}_payload_bytes": event["payload_bytes"]}
        case _:
            known["failed"] = 1.0


def _metrics(event: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """`training_loss` is that of the local model anyhow."""
    return {name if name == "training_loss" else f"{prefix}{name}": value for name, value in event["metrics"].items()}


def _seconds(event: dict[str, Any]) -> float | None:
    return None if event["latency_ms"] is None else event["latency_ms"] / 1000


def _columned(rows: dict[int, dict[str, Any]]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: [row.get(name) for row in rows.values()] for name in names}


def _events(session: Session, run_id: str, kinds: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    query = (
        select(EventRow.type, EventRow.body)
        .where(EventRow.run_id == run_id, col(EventRow.type).in_(list(kinds)))
        .order_by(col(EventRow.seq))
    )
    for kind, body in session.exec(query):
        yield kind, json.loads(body)


def _milliseconds(moment: str) -> int:
    """Since 1970, of a moment as ISO 8601."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


class _Numbers:
    """Gives each name a number, and notes the names in their order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number
