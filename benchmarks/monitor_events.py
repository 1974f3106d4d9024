"""Events as a run with ten clients emits them, round after round without end."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Any

from benchmarks.subject import CLIENTS
from fedforge_runtime.telemetry.emitter import new_event
from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    CheckpointSaved,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientTrainStarted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeHeartbeat,
    Role,
    RoundCompleted,
    RoundStarted,
    RunStarted,
    Task,
)

_SEED = 17
_ROUNDS_TOTAL = 1_000_000
_MODEL_BYTES = 8285
_HEARTBEATS = 2
"""Of each client in each round."""
_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss")


class Seen:
    """Tells whether two processes have seen the same events in the same order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.length = 0

    def add(self, event_id: str) -> None:
        self._digest.update(event_id.encode())
        self.length += 1

    def name(self) -> str:
        """The same for the same events in the same order alone."""
        return f"{self.length}:{self._digest.hexdigest()}"


class EventSource:
    """The events of one run: a server, and clients that train and evaluate side by side.

    Args:
        run_id: the run.
        clients: that take part.

    `taken` is what it has given so far.
    """

    def __init__(self, run_id: str, clients: int = CLIENTS) -> None:
        self.taken = Seen()
        self._run_id = run_id
        self._clients = clients
        self._chance = random.Random(_SEED)
        self._emitted: dict[str, int] = {}
        self._events = self._run()

    def take(self, number: int) -> list[Event]:
        """The next events."""
        events = list(islice(self._events, number))
        for event in events:
            self.taken.add(str(event.event_id))
        return events

    def _run(self) -> Iterator[Event]:
        yield self._of_server(RunStarted, 0, engine="inprocess", rounds_total=_ROUNDS_TOTAL, clients=self._clients)
        for number in count(1):
            yield from self._round(number)

    def _round(self, number: int) -> Iterator[Event]:
        clients = range(self._clients)
        yield self._of_server(RoundStarted, number, participants=list(clients))
        yield from self._dispatch(number, "train")
        yield from (self._of_client(ClientTrainStarted, number, client) for client in clients)
        for _ in range(_HEARTBEATS):
            yield self._of_server(NodeHeartbeat, number, status="busy")
            yield from (self._of_client(NodeHeartbeat, number, client, status="busy") for client in clients)
        for client in clients:
            metrics = {"training_loss": self._chance.random(), **self._metrics()}
            yield self._of_client(ClientTrainCompleted, number, client, latency_ms=self._latency(), metrics=metrics)
            yield self._upload(number, client, "train", _MODEL_BYTES)
        yield self._of_server(AggregationStarted, number)
        yield self._of_server(
            AggregationCompleted, number, latency_ms=self._latency(), metrics={"updates": float(self._clients)}
        )
        yield from self._dispatch(number, "evaluate")
        for client in clients:
            yield self._of_client(ClientEvaluated, number, client, latency_ms=self._latency(), metrics=self._metrics())
            yield self._upload(number, client, "evaluate", 100)
        model = hashlib.sha256(str(number).encode()).hexdigest()
        yield self._of_server(CheckpointSaved, number, model_sha256=model)
        yield self._of_server(RoundCompleted, number, latency_ms=self._latency(), metrics=self._metrics())

    def _dispatch(self, number: int, task: Task) -> Iterator[Event]:
        for client in range(self._clients):
            yield self._of_server(ModelDispatched, number, client, task=task, payload_bytes=_MODEL_BYTES)

    def _upload(self, number: int, client: int, task: Task, size: int) -> Event:
        return self._of_server(
            ClientUpdateUploaded, number, client, task=task, payload_bytes=size, latency_ms=self._latency()
        )

    def _of_server(self, kind: type[Event], number: int, client: int | None = None, **fields: Any) -> Event:
        node = "server" if client is None else f"client-{client}"
        return self._event(kind, "server-4711-5c3e91d2", number, node, "server", fields)

    def _of_client(self, kind: type[Event], number: int, client: int, **fields: Any) -> Event:
        return self._event(kind, f"client-{4712 + client}-a9d0b66f", number, f"client-{client}", "client", fields)

    def _event(
        self, kind: type[Event], emitter: str, number: int, node: str, role: Role, fields: dict[str, Any]
    ) -> Event:
        place = self._emitted[emitter] = self._emitted.get(emitter, 0) + 1
        return new_event(
            kind,
            emitter_id=emitter,
            emitter_seq=place,
            run_id=self._run_id,
            round=number,
            node_id=node,
            role=role,
            **fields,
        )

    def _latency(self) -> float:
        return self._chance.uniform(1, 2000)

    def _metrics(self) -> dict[str, float]:
        return {name: self._chance.random() for name in _METRICS}


def batch_of(events: Iterable[Event]) -> bytes:
    """The body of one request."""
    return b'{"events":[' + b",".join(event.model_dump_json().encode() for event in events) + b"]}"
