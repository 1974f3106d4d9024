"""The ServerApp: one attempt at one run, from the last checkpoint to the exported model, in every engine."""

from __future__ import annotations

from concurrent.futures import Future

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedforge_runtime.control import present_control
from fedforge_runtime.errors import RunStoppedError, failure_reason
from fedforge_runtime.federation.checkpoint import Checkpoint, CheckpointStore
from fedforge_runtime.federation.evaluation import evaluate_split
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.participants import (
    ParticipantRecord,
    ReplayedSelection,
    SeededSelection,
    Selection,
    read_participants,
)
from fedforge_runtime.federation.records import write_tables
from fedforge_runtime.federation.results import publish_results
from fedforge_runtime.federation.rounds import RoundLoop, RoundRules, federated_standardisation
from fedforge_runtime.federation.settings import RunSettings
from fedforge_runtime.federation.strategies import build_strategy
from fedforge_runtime.learning.parameters import Parameters, initial_head
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.telemetry.emitter import Emitter, Heartbeat
from monitor.schema import CheckpointSaved, RunCompleted, RunFailed, RunStarted, RunStopped

_CONNECT_SECONDS = 120.0

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run a federation; whatever happens, the event log says how it ended."""
    settings = RunSettings.from_run_config(context.run_config)
    folder = settings.folder
    with (
        Emitter(folder.events, run_id=folder.run_id, role="server", attempt=settings.attempt) as emitter,
        Heartbeat(emitter, node_id="server") as heartbeat,
        WorkerPool(1, threads=settings.config.runtime.threads_per_worker) as evaluation_pool,
    ):
        attempt = _Attempt(settings, grid, emitter, heartbeat, evaluation_pool)
        try:
            final = attempt.run()
        except RunStoppedError as stop:
            emitter.emit(RunStopped, round_number=attempt.round, node_id="server", reason=stop.message)
            raise
        except BaseException as error:
            emitter.emit(RunFailed, round_number=attempt.round, node_id="server", reason=failure_reason(error))
            raise
        emitter.emit(RunCompleted, round_number=final.round, node_id="server", model_sha256=final.model_sha256)
        emitter.sync()


class _Attempt:
    def __init__(
        self, settings: RunSettings, grid: Grid, emitter: Emitter, heartbeat: Heartbeat, pool: WorkerPool
    ) -> None:
        config = settings.config
        self._heartbeat = heartbeat
        self._settings = settings
        self._emitter = emitter
        self._pool = pool
        self._grid = RunGrid(grid, control=present_control(), emitter=emitter)
        self._checkpoints = CheckpointStore(settings.folder.checkpoints)
        self._rules = RoundRules(
            seed=config.seed,
            rounds=config.federation.rounds,
            clients=config.partition.clients,
            minimum_clients=config.federation.minimum_clients,
            timeout_seconds=config.federation.round_timeout_seconds,
        )
        self._replayed = (
            read_participants(settings.participants_file, rounds=self._rules.rounds, clients=self._rules.clients)
            if settings.participants_file
            else None
        )

    @property
    def round(self) -> int:
        """The last round that is done."""
        return self._heartbeat.round_number

    def run(self) -> Checkpoint:
        config = self._settings.config
        self._emitter.emit(
            RunStarted,
            round_number=0,
            node_id="server",
            engine=config.runtime.engine,
            rounds_total=config.federation.rounds,
            clients=config.partition.clients,
        )
        self._grid.gate(0)
        self._grid.discover(self._rules.clients, timeout=_CONNECT_SECONDS)
        start = self._checkpoints.latest() or self._first_checkpoint()
        self._heartbeat.round_number = start.round
        write_tables(self._settings.folder, start.records)
        loop = RoundLoop(
            grid=self._grid,
            strategy=build_strategy(config.federation.strategy),
            selection=self._selection(),
            rules=self._rules,
            emitter=self._emitter,
            evaluate_centrally=lambda parameters: self._evaluate(parameters, start),
            save=self._save,
        )
        final = loop.run(start)
        publish_results(self._settings, final, self._pool)
        return final

    def _first_checkpoint(self) -> Checkpoint:
        """Round 0: the seeded head, and the standardisation that all clients agree on."""
        config, inputs = self._settings.config, self._settings.inputs
        standardisation, asked = None, list(range(self._rules.clients))
        if config.learning.standardise:
            replayed = self._replayed.rounds.get(0) if self._replayed else None
            standardisation, asked = federated_standardisation(self._grid, replayed, self._rules)
        parameters = initial_head(inputs.feature_size, len(inputs.class_names), seed=config.seed)
        checkpoint = Checkpoint(0, parameters, {}, standardisation, [])
        ParticipantRecord(rounds={0: asked}).write(self._settings.folder.participants)
        self._checkpoints.save(checkpoint)
        self._emitter.emit(CheckpointSaved, round_number=0, node_id="server", model_sha256=checkpoint.model_sha256)
        return checkpoint

    def _selection(self) -> Selection:
        if self._replayed:
            return ReplayedSelection(self._replayed.rounds)
        return SeededSelection(
            seed=self._rules.seed,
            clients=self._rules.clients,
            clients_per_round=self._settings.config.federation.clients_per_round,
        )

    def _evaluate(self, parameters: Parameters, start: Checkpoint) -> Future[dict[str, float]]:
        return self._pool.submit(evaluate_split, self._settings, parameters, start.standardisation, "validation")

    def _save(self, checkpoint: Checkpoint) -> None:
        self._checkpoints.save(checkpoint)
        self._heartbeat.round_number = checkpoint.round
        folder = self._settings.folder
        write_tables(folder, checkpoint.records)
        first = ParticipantRecord.model_validate_json(folder.participants.read_bytes()).rounds[0]
        rounds = {0: first} | {record.round: record.participants for record in checkpoint.records}
        ParticipantRecord(rounds=rounds).write(folder.participants)
