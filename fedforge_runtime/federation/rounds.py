"""The round loop: select, train, aggregate, evaluate, checkpoint; the same for every strategy and engine.

Flower's `Strategy.start` has no start round, no stop and no hook after a round, so the loop is ours and the
strategy's `configure` and `aggregate` are used as they are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import Strategy

from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import Mode
from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.checkpoint import Checkpoint
from fedforge_runtime.federation.grid import Answer, RunGrid, node_name
from fedforge_runtime.federation.participants import Selection
from fedforge_runtime.federation.records import ClientRecord, RoundRecord
from fedforge_runtime.federation.strategies import (
    expected_update,
    forget_current_arrays,
    restore_dtypes,
    restore_server_state,
    server_state,
)
from fedforge_runtime.learning.parameters import Parameters, model_sha256
from fedforge_runtime.learning.ridge import FeatureMoments
from fedforge_runtime.learning.standardisation import Standardisation
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    CheckpointSaved,
    NodeError,
    RoundCompleted,
    RoundStarted,
    Task,
)

Evaluator = Callable[[Parameters], "Future[dict[str, float]]"]
"""Begins the central evaluation of a model; its result is awaited at the end of the round."""


@dataclass(frozen=True)
class RoundRules:
    """What the loop must know of the configuration."""

    seed: int
    rounds: int
    clients: int
    minimum_clients: int
    timeout_seconds: float
    mode: Mode = "head_only"
    """What these rounds train."""


@dataclass
class RoundLoop:
    """Runs a federation from a checkpoint to its last round."""

    grid: RunGrid
    strategy: Strategy
    selection: Selection
    rules: RoundRules
    emitter: Emitter
    evaluate_centrally: Evaluator
    save: Callable[[Checkpoint], None]
    """Makes a checkpoint durable, before the round counts as done."""
    _failures: dict[int, str] = field(default_factory=dict, init=False)
    _bytes_sent: int = field(default=0, init=False)
    _bytes_received: int = field(default=0, init=False)

    def run(self, start: Checkpoint) -> Checkpoint:
        """Do the rounds after `start.round` and return the last state.

        Raises:
            RunFailedError: too few clients gave a usable answer.
            RunStoppedError: a stop was asked for; the round in flight is discarded whole.
        """
        restore_server_state(self.strategy, start.server_state)
        state = start
        for number in range(start.round + 1, self.rules.rounds + 1):
            self.grid.gate(number)
            state = self._round(number, state)
        return state

    def _round(self, number: int, before: Checkpoint) -> Checkpoint:
        started = monotonic()
        lost = set(self._failures)
        self._failures, self._bytes_sent, self._bytes_received = {}, 0, 0
        self.grid.discover(
            self.rules.minimum_clients, timeout=self.rules.timeout_seconds, round_number=number, awaited=lost
        )
        chosen = self._choose(number)
        self.emitter.emit(RoundStarted, round_number=number, node_id="server", participants=chosen)
        self.grid.show(chosen)
        sent = messages.to_arrays(before.parameters)
        training = self._train(number, sent, before.standardisation, chosen)
        parameters = self._aggregate(number, sent, training)
        central = self.evaluate_centrally(parameters)
        participants = [answer.client for answer in training]
        evaluations = self._evaluate(number, parameters, before.standardisation, participants)
        validation_metrics = central.result()
        clients = [_client_record(answer, evaluations.get(answer.client)) for answer in training]
        record = RoundRecord(
            round=number,
            mode=self.rules.mode,
            model_sha256=model_sha256(parameters),
            participants=participants,
            failures=dict(sorted(self._failures.items())),
            seconds=monotonic() - started,
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            training_loss=_mean_training_loss(clients),
            validation_metrics=validation_metrics,
            clients=clients,
        )
        after = Checkpoint(
            number, parameters, server_state(self.strategy), before.standardisation, [*before.records, record]
        )
        self.save(after)
        self.emitter.emit(CheckpointSaved, round_number=number, node_id="server", model_sha256=record.model_sha256)
        self.emitter.emit(
            RoundCompleted,
            round_number=number,
            node_id="server",
            latency_ms=record.seconds * 1000,
            payload_bytes=record.bytes_sent + record.bytes_received,
            metrics={"training_loss": record.training_loss, **record.validation_metrics},
        )
        self.emitter.sync()
        return after

    def _choose(self, number: int) -> list[int]:
        available = self.grid.clients
        chosen = self.selection.choose(number, available)
        missing = sorted(set(chosen) - set(available))
        if missing:
            raise RunFailedError(f"round {number} replays the clients {missing}, which are not connected.")
        return chosen

    def _train(
        self, number: int, sent: ArrayRecord, standardisation: Standardisation | None, chosen: Sequence[int]
    ) -> list[Answer]:
        """Usable updates, by client."""
        forget_current_arrays(self.strategy)
        random.seed(derive_seed(self.rules.seed, "configure-train", number))  # Flower samples with it
        requests = self.strategy.configure_train(number, sent, ConfigRecord(), self.grid)
        answers = self._exchange(requests, "train", number, standardisation)
        expected = expected_update(self.strategy, sent)
        usable = [answer for answer in answers if answer.message and self._is_usable(answer, expected, number)]
        needed = len(chosen) if self.selection.exact else self.rules.minimum_clients
        if len(usable) < needed:
            raise too_few(f"round {number}", len(usable), needed, self._failures)
        return usable

    def _is_usable(self, answer: Answer, expected: ArrayRecord, number: int) -> bool:
        assert answer.message is not None
        reason = _flaw(answer.message.content, expected)
        if reason:
            self._failures[answer.client] = f"train: {reason}"
            self.emitter.emit(
                NodeError, round_number=number, node_id=node_name(answer.client), task="train", reason=reason
            )
        return not reason

    def _exchange(
        self,
        requests: Any,
        task: Task,
        number: int,
        standardisation: Standardisation | None,
    ) -> list[Answer]:
        requests = list(requests)
        if standardisation:
            record = messages.standardisation_record(standardisation)
            for content in {id(request.content): request.content for request in requests}.values():
                content[messages.STANDARDISATION] = record
        answers = self.grid.exchange(requests, task=task, round_number=number, timeout=self.rules.timeout_seconds)
        self._failures |= {answer.client: f"{task}: {answer.failure}" for answer in answers if not answer.message}
        self._bytes_sent += sum(answer.bytes_sent for answer in answers)
        self._bytes_received += sum(answer.bytes_received for answer in answers)
        return answers

    def _aggregate(self, number: int, sent: ArrayRecord, training: Sequence[Answer]) -> Parameters:
        started = monotonic()
        self.emitter.emit(AggregationStarted, round_number=number, node_id="server")
        aggregated, _ = self.strategy.aggregate_train(number, _messages(training))
        if aggregated is None:
            raise RunFailedError(f"round {number}: the strategy made no model of {len(training)} updates.")
        parameters = messages.from_arrays(restore_dtypes(aggregated, sent))
        if not all(np.isfinite(value).all() for value in parameters.values()):
            raise RunFailedError(
                f"round {number}: the aggregated model has values that are not finite.",
                remedy="Lower learning.learning_rate or the strategy's server learning rate.",
            )
        self.emitter.emit(
            AggregationCompleted,
            round_number=number,
            node_id="server",
            latency_ms=(monotonic() - started) * 1000,
            metrics={"updates": len(training)},
        )
        return parameters

    def _evaluate(
        self,
        number: int,
        parameters: Parameters,
        standardisation: Standardisation | None,
        participants: Sequence[int],
    ) -> dict[int, Answer]:
        """Answers of the participants that could evaluate the new model, by client."""
        self.grid.show([client for client in participants if client in self.grid.clients])
        requests = self.strategy.configure_evaluate(number, messages.to_arrays(parameters), ConfigRecord(), self.grid)
        answers = self._exchange(requests, "evaluate", number, standardisation)
        return {answer.client: answer for answer in answers if answer.message}


def federated_standardisation(
    grid: RunGrid, participants: Sequence[int] | None, rules: RoundRules
) -> tuple[Standardisation, list[int]]:
    """Round 0: mean and scale over all clients' rows, from their sums, and who took part.

    Args:
        participants: replayed from a record; by default every client that is connected.

    Raises:
        RunFailedError: too few clients answered, or not all of those replayed.
    """
    usable = _ask_everybody(grid, messages.STATISTICS_ACTION, participants, rules, lambda content: "")
    shares = [messages.read_sums(message.content) for message in _messages(usable)]
    return Standardisation.from_sums(shares), [answer.client for answer in usable]


def federated_moments(
    grid: RunGrid, participants: Sequence[int] | None, rules: RoundRules, *, feature_size: int, class_count: int
) -> tuple[FeatureMoments, list[int]]:
    """Round 0 of a warm start: the moments of all clients' raw features, and who took part.

    They contain what `federated_standardisation` asks for. Arguments and errors as there.
    """
    template = messages.moments_template(feature_size, class_count)
    usable = _ask_everybody(
        grid,
        messages.MOMENTS_ACTION,
        participants,
        rules,
        lambda content: _flaw_of_arrays(content, messages.MOMENTS, template) or _flaw_of_numbers(content, ()),
    )
    shares = [messages.read_moments(message.content, messages.MOMENTS) for message in _messages(usable)]
    return FeatureMoments.total(shares), [answer.client for answer in usable]


def _ask_everybody(
    grid: RunGrid,
    action: str,
    participants: Sequence[int] | None,
    rules: RoundRules,
    flaw: Callable[[RecordDict], str],
) -> list[Answer]:
    """One exchange before the first round; the answers without a flaw, by client."""
    asked = list(participants) if participants is not None else grid.clients
    grid.show(asked)
    requests = [Message(RecordDict(), node, action) for node in grid.get_node_ids()]
    answers = grid.exchange(requests, task="statistics", round_number=0, timeout=rules.timeout_seconds)
    failures = {answer.client: flaw(answer.message.content) if answer.message else answer.failure for answer in answers}
    usable = [answer for answer in answers if not failures[answer.client]]
    needed = rules.minimum_clients if participants is None else len(asked)
    if len(usable) < needed:
        reasons = {client: reason for client, reason in failures.items() if reason}
        raise too_few("the exchange of statistics", len(usable), needed, reasons)
    return usable


def too_few(what: str, usable: int, needed: int, failures: Mapping[int, str]) -> RunFailedError:
    reasons = "; ".join(f"client {client}: {reason}" for client, reason in sorted(failures.items())[:3])
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return RunFailedError(
        f"{what}: only {usable} of the {needed} clients needed gave a usable answer ({reasons or 'none failed'}{more})."
    )


def _flaw(content: RecordDict, expected: ArrayRecord) -> str:
    """Why an update cannot be aggregated; empty when it can."""
    numbers = (messages.VALIDATION_ROWS, messages.TRAINING_LOSS, messages.SECONDS)
    return _flaw_of_arrays(content, messages.ARRAYS, expected) or _flaw_of_numbers(content, numbers)


def _flaw_of_arrays(content: RecordDict, record: str, expected: ArrayRecord) -> str:
    update = content.array_records.get(record)
    if update is None or update.keys() != expected.keys():
        return "the update does not hold the tensors that were asked for"
    for name, array in update.items():
        value, wanted = array.numpy(), expected[name].numpy()
        if value.dtype.kind != wanted.dtype.kind:
            return f"the update's {name} has type {value.dtype}, not {wanted.dtype}"
        if value.shape != wanted.shape:
            return f"the update's {name} has shape {value.shape}, not {wanted.shape}"
        if not np.isfinite(value).all():
            return f"the update's {name} has values that are not finite"
    return ""


def _flaw_of_numbers(content: RecordDict, names: Sequence[str]) -> str:
    """As `_flaw`, for the number of rows and the numbers of these names."""
    metrics: Mapping[str, Any] = content.metric_records.get(messages.METRICS, {})
    for name in (messages.ROWS, *names):
        if not isinstance(metrics.get(name), (int, float)) or not math.isfinite(metrics[name]):
            return f"the update's {name} is missing or not a finite number"
    return "" if metrics[messages.ROWS] > 0 else "the update counts no rows"


def _messages(answers: Sequence[Answer]) -> list[Message]:
    return [answer.message for answer in answers if answer.message]


def _mean_training_loss(clients: Sequence[ClientRecord]) -> float:
    return sum(client.training_loss * client.rows for client in clients) / sum(client.rows for client in clients)


def _client_record(training: Answer, evaluation: Answer | None) -> ClientRecord:
    assert training.message is not None
    content = training.message.content
    metrics: Mapping[str, Any] = content.metric_records[messages.METRICS]
    evaluated = evaluation.message.content if evaluation and evaluation.message else None
    return ClientRecord(
        client=training.client,
        rows=int(metrics[messages.ROWS]),
        validation_rows=int(metrics[messages.VALIDATION_ROWS]),
        training_loss=float(metrics[messages.TRAINING_LOSS]),
        seconds=float(metrics[messages.SECONDS]),
        round_trip_seconds=training.round_trip_seconds,
        bytes_sent=training.bytes_sent + (evaluation.bytes_sent if evaluation else 0),
        bytes_received=training.bytes_received + (evaluation.bytes_received if evaluation else 0),
        local_metrics=messages.read_evaluation(content),
        global_metrics=messages.read_evaluation(evaluated) if evaluated else {},
    )
