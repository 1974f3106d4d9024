"""Runs of the real round loop in the real in-process engine, with `round_client` at the sites."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from round_client import CLASSES, FEATURES

from fedforge_runtime.config import StrategyConfig
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.inprocess import InprocessEngine
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.rounds import RoundLoop, RoundRules, federated_moments, federated_standardisation
from fedforge_runtime.federation.strategies import build_strategy
from fedforge_runtime.learning.parameters import Parameters, initial_head
from fedforge_runtime.learning.sums import FeatureMoments, Standardisation
from fedforge_runtime.record.checkpoint import Checkpoint, CheckpointStore
from fedforge_runtime.record.participants import SeededSelection, Selection
from fedforge_runtime.telemetry.control import AlwaysRun, Control
from fedforge_runtime.telemetry.emitter import Emitter, read_events
from monitor.schema import Event
from tests.support.patience import PATIENCE_SECONDS

SEED = 17

ResultT = TypeVar("ResultT")


@dataclass
class RoundRun:
    """One run in one folder: each call of `rounds` is an attempt that goes on from the last checkpoint."""

    folder: Path
    strategy: str = "fedavg"
    clients: int = 5
    clients_per_round: int | None = None
    minimum_clients: int = 2
    behaviours: Mapping[str, str] = field(default_factory=dict)
    """See `round_client`."""
    selection: Selection | None = None
    control: Control = field(default_factory=AlwaysRun)
    around_grid: Callable[[Grid], Grid] = lambda grid: grid

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = CheckpointStore(self.folder / "checkpoints")

    @property
    def events(self) -> list[Event]:
        return read_events(self.folder / "events.jsonl")

    def rounds(self, last: int) -> Checkpoint:
        """Do the rounds up to `last`, with an engine, a strategy and a loop that know nothing of earlier attempts."""
        return self.in_server_app(lambda grid, emitter: self._rounds(last, grid, emitter))

    def standardise(self, participants: Sequence[int] | None = None) -> tuple[Standardisation, list[int]]:
        """Round 0 alone."""
        return self.in_server_app(
            lambda grid, _: federated_standardisation(grid, participants, self._rules(1), feature_size=FEATURES)
        )

    def moments(self, participants: Sequence[int] | None = None) -> tuple[FeatureMoments, list[int]]:
        """Round 0 of a warm start alone."""
        return self.in_server_app(
            lambda grid, _: federated_moments(
                grid, participants, self._rules(1), feature_size=FEATURES, class_count=CLASSES
            )
        )

    def in_server_app(self, work: Callable[[RunGrid, Emitter], ResultT]) -> ResultT:
        """Do `work` in the ServerApp of an engine, once all clients are connected."""
        results: list[ResultT] = []
        server_app = ServerApp()

        @server_app.main()
        def main(grid: Grid, context: Context) -> None:
            with Emitter(self.folder / "events.jsonl", run_id="rounds", role="server") as emitter:
                run_grid = RunGrid(
                    self.around_grid(grid), control=self.control, emitter=emitter, sites=range(self.clients)
                )
                run_grid.discover(self.clients, timeout=PATIENCE_SECONDS)
                results.append(work(run_grid, emitter))

        InprocessEngine().run(
            Federation(
                server_app=server_app,
                run_config={"behaviours": json.dumps(dict(self.behaviours))},
                clients=self.clients,
                workers=2,
                client_app="round_client:app",
            )
        )
        return results[0]

    def _rules(self, rounds: int) -> RoundRules:
        return RoundRules(SEED, rounds, self.minimum_clients, PATIENCE_SECONDS)

    def _rounds(self, last: int, grid: RunGrid, emitter: Emitter) -> Checkpoint:
        start = self.checkpoints.latest()
        if start is None:
            start = Checkpoint(0, initial_head(FEATURES, CLASSES, seed=SEED), {}, None, [])
            self.checkpoints.save(start)
        seeded = SeededSelection(seed=SEED, sites=range(self.clients), clients_per_round=self.clients_per_round)
        loop = RoundLoop(
            grid=grid,
            strategy=build_strategy(StrategyConfig(name=self.strategy)),
            selection=self.selection or seeded,
            rules=self._rules(last),
            emitter=emitter,
            evaluate_centrally=_first_bias,
            save=self._save,
        )
        return loop.run(start)

    def _save(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.save(checkpoint)


def _first_bias(parameters: Parameters) -> Future[dict[str, float]]:
    evaluation: Future[dict[str, float]] = Future()
    evaluation.set_result({"loss": float(parameters["classifier.bias"][0])})
    return evaluation
