"""The round loop: select, train, aggregate, evaluate, checkpoint; the same for every strategy and engine.

Flower's `Strategy.start` has no start round, no stop and no hook after a round, so the loop is ours and the
strategy's `configure` and `aggregate` are used as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
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
from fedforge_runtime.federation.flaws import flaw_of_evaluation, flaw_of_moments, flaw_of_sums, flaw_of_update
from fedforge_runtime.federation.grid import Answer, RunGrid
from fedforge_runtime.federation.strategies import (
    expected_update,
    forget_current_arrays,
    restore_dtypes,
    restore_server_state,
    server_state,
)
from fedforge_runtime.learning.parameters import Parameters, model_sha256
from fedforge_runtime.learning.sums import FeatureMoments, Standardisation
from fedforge_runtime.record.checkpoint import Checkpoint
from fedforge_runtime.record.participants import Selection
from fedforge_runtime.record.records import ClientRecord, RoundRecord
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.telemetry.control import await_result
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.wording import some_of
from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    CheckpointSaved,
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
    number: int = field(default=0, init=False)
    """The round that was begun last."""
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
        started, self.number = monotonic(), number
        lost = set(self._failures)
        self._failures, self._bytes_sent, self._bytes_received = {}, 0, 0
        self._discover(number, self.rules.minimum_clients, awaited=lost | set(self.selection.required(number)))
        chosen = self._choose(number)
        self.emitter.emit(RoundStarted, round_number=number, node_id="server", participants=chosen)
        self.grid.show(chosen)
        sent = messages.to_arrays(before.parameters)
        training = self._train(number, sent, before.standardisation, chosen)
        parameters = self._aggregate(number, sent, training)
        central = self.evaluate_centrally(parameters)
        participants = [answer.client for answer in training]
        evaluations = self._evaluate(number, parameters, before.standardisation, participants)
        validation_metrics = self._await_evaluation(number, central)
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
            training_loss=sum(each.training_loss * each.rows for each in clients) / sum(each.rows for each in clients),
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

    def _discover(self, number: int, expected: int, *, awaited: Collection[int]) -> None:
        self.grid.discover(expected, timeout=self.rules.timeout_seconds, round_number=number, awaited=awaited)

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
        usable = self._usable(answers, "train", number, lambda content: flaw_of_update(content, expected))
        needed = len(chosen) if self.selection.exact else self.rules.minimum_clients
        if len(usable) < needed:
            raise too_few(f"round {number}", len(usable), needed, self._failures)
        return usable

    def _usable(
        self, answers: Sequence[Answer], task: Task, number: int, flaw: Callable[[RecordDict], str]
    ) -> list[Answer]:
        """The answers that hold what was asked for."""
        usable = []
        for answer in answers:
            reason = flaw(answer.message.content) if answer.message else ""
            if reason:
                self._reject(answer.client, task, number, reason)
            elif answer.message:
                usable.append(answer)
        return usable

    def _reject(self, client: int, task: Task, number: int, reason: str) -> None:
        """Note that a site has no part in a task of a round."""
        self._failures[client] = f"{task}: {reason}"
        self.grid.report_flaw(client, task, number, reason)

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
        """Answers of the participants that could evaluate the new model, by client.

        One that is gone since it has trained is given a moment to come back.
        """
        self._discover(number, 0, awaited=participants)
        present = set(self.grid.clients)
        for client in participants:
            if client not in present:
                self._reject(client, "evaluate", number, "the site's node is not connected any more")
        shown = [client for client in participants if client in present]
        if not shown:  # Flower's strategies would wait for a node, for ever
            return {}
        self.grid.show(shown)
        requests = self.strategy.configure_evaluate(number, messages.to_arrays(parameters), ConfigRecord(), self.grid)
        answers = self._exchange(requests, "evaluate", number, standardisation)
        return {answer.client: answer for answer in self._usable(answers, "evaluate", number, flaw_of_evaluation)}

    def _await_evaluation(self, number: int, central: Future[dict[str, float]]) -> dict[str, float]:
        try:
            return await_result(central, self.grid.control, timeout=self.rules.timeout_seconds)
        except TimeoutError as error:
            raise RunFailedError(
                f"round {number}: the model was not evaluated on the central validation split within "
                f"{self.rules.timeout_seconds:g} s.",
                remedy="Raise federation.round_timeout_seconds, or see what keeps this machine busy.",
            ) from error


def federated_standardisation(
    grid: RunGrid, participants: Sequence[int] | None, rules: RoundRules, *, feature_size: int
) -> tuple[Standardisation, list[int]]:
    """Round 0: mean and scale over all clients' rows, from their sums, and who took part.

    Args:
        participants: replayed from a record; by default every client that is connected.

    Raises:
        RunFailedError: too few clients answered, or not all of those replayed.
    """
    usable = _ask_everybody(
        grid, messages.STATISTICS_ACTION, participants, rules, lambda content: flaw_of_sums(content, feature_size)
    )
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
        grid, messages.MOMENTS_ACTION, participants, rules, lambda content: flaw_of_moments(content, template)
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
    for answer in answers:
        if answer.message and failures[answer.client]:
            grid.report_flaw(answer.client, "statistics", 0, failures[answer.client])
    usable = [answer for answer in answers if not failures[answer.client]]
    needed = rules.minimum_clients if participants is None else len(asked)
    if len(usable) < needed:
        reasons = {client: reason for client, reason in failures.items() if reason}
        raise too_few("the exchange of statistics", len(usable), needed, reasons)
    return usable


def too_few(what: str, usable: int, needed: int, failures: Mapping[int, str]) -> RunFailedError:
    reasons = [f"client {client}: {reason}" for client, reason in sorted(failures.items())]
    return RunFailedError(
        f"{what}: only {usable} of the {needed} clients needed gave a usable answer "
        f"({some_of(reasons, 3, separator='; ') or 'none failed'})."
    )


def _messages(answers: Sequence[Answer]) -> list[Message]:
    return [answer.message for answer in answers if answer.message]


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
