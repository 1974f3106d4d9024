"""A run's events, told with chosen times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    CheckpointSaved,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeError,
    RoundCompleted,
    RoundStarted,
    RunPaused,
    RunResumed,
    RunStarted,
    event_adapter,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = 1000
"""Bytes of a message with a model."""
NUMBERS = 10
"""Bytes of one without."""
SHA256 = "ab" * 32


class Story:
    """Events of one run; `at` is in seconds, and each process numbers its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.attempt = 1
        self._numbers: dict[str, int] = {}

    def tell(self, kind: type[Event], at: float, *, node: str = "server", by: str = "server", **fields: Any) -> None:
        emitter = f"{by}-{self.attempt}"
        self._numbers[emitter] = self._numbers.get(emitter, 0) + 1
        document = {
            "type": kind.model_fields["type"].default,
            "event_id": f"00000000-0000-4000-8000-{len(self.events):012x}",
            "emitter_id": emitter,
            "emitter_seq": self._numbers[emitter],
            "ts": (BEGIN + timedelta(seconds=at)).isoformat(),
            "run_id": "a-run",
            "attempt": self.attempt,
            "node_id": node,
            "role": "server" if by == "server" else "client",
            "round": 0,
        }
        self.events.append(event_adapter.validate_python(document | fields))

    def start(self, at: float) -> None:
        self.tell(RunStarted, at, engine="inprocess", rounds_total=3, clients=2)

    def pause(self, at: float, until: float, *, before: int) -> None:
        self.tell(RunPaused, at, round=before)
        self.tell(RunResumed, until, round=before)

    def exchange(self, number: int, task: str, client: int, at: float, trip: float, work: float, **fate: str) -> None:
        """A site is asked; `fails` says why it does not answer, `flaw` what is wrong with the answer that it gives."""
        node, about = f"client-{client}", {"round": number, "task": task}
        self.tell(ModelDispatched, at, node=node, payload_bytes=MODEL, **about)
        if "fails" in fate:
            self.tell(NodeError, at + trip, node=node, latency_ms=trip * 1000, reason=fate["fails"], **about)
            return
        done = ClientTrainCompleted if task == "train" else ClientEvaluated
        metrics = {"accuracy": 0.5 + client / 10} | ({"training_loss": 1.0 + client} if task == "train" else {})
        self.tell(done, at + work, node=node, by=node, round=number, latency_ms=work * 1000, metrics=metrics)
        size = MODEL if task == "train" else NUMBERS
        self.tell(ClientUpdateUploaded, at + trip, node=node, latency_ms=trip * 1000, payload_bytes=size, **about)
        if "flaw" in fate:
            self.tell(NodeError, at + trip, node=node, reason=fate["flaw"], **about)

    def round(self, number: int, at: float, *, lost: str = "", flawed: str = "", deaf: bool = False) -> None:
        """Ten seconds of two sites: train for 6 (site 0) and 5 (site 1), evaluate for 2.

        Args:
            lost: why site 1 does not train.
            flawed: what is wrong with its update.
            deaf: it does not evaluate.
        """
        self.tell(RoundStarted, at, round=number, participants=[0, 1])
        fate = {"fails": lost} if lost else {"flaw": flawed} if flawed else {}
        self.exchange(number, "train", 1, at + 0.25, 5.0, 4.0, **fate)
        self.exchange(number, "train", 0, at + 0.25, 6.0, 3.0)
        self.tell(AggregationStarted, at + 6.5, round=number)
        self.tell(AggregationCompleted, at + 7, round=number)
        self.exchange(number, "evaluate", 0, at + 7, 2.0, 0.5)
        if not fate:
            self.exchange(number, "evaluate", 1, at + 7, 1.0, 0.5, **({"fails": "it is gone"} if deaf else {}))
        self.tell(CheckpointSaved, at + 9.5, round=number, model_sha256=SHA256)
        metrics = {"accuracy": 0.5 + number / 10, "training_loss": 2.0}
        self.tell(RoundCompleted, at + 10, round=number, latency_ms=10_000.0, metrics=metrics)

    def interrupted_round(self, number: int, at: float) -> None:
        """Five seconds, in which site 0 has answered."""
        self.tell(RoundStarted, at, round=number, participants=[0, 1])
        self.exchange(number, "train", 0, at + 0.25, 4.75, 3.0)

    def resume(self, at: float) -> None:
        """A new attempt begins."""
        self.attempt += 1
        self.start(at)


@pytest.fixture
def story() -> Story:
    return Story()
