"""The ServerApp: one attempt at one run, from the last checkpoint to the exported model, in every engine."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedforge_runtime.config import Mode
from fedforge_runtime.errors import RunStoppedError, failure_reason
from fedforge_runtime.errors.system import explained
from fedforge_runtime.federation.descriptions import describe_own_data, evaluate_run, evaluate_sites
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.rounds import (
    RoundLoop,
    RoundRules,
    federated_moments,
    federated_standardisation,
)
from fedforge_runtime.federation.strategies import build_strategy
from fedforge_runtime.learning.parameters import Parameters, initial_head
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.record.checkpoint import Checkpoint, CheckpointStore
from fedforge_runtime.record.evaluation import evaluate_split, initial_backbone_in_worker
from fedforge_runtime.record.participants import (
    ParticipantRecord,
    ReplayedSelection,
    SeededSelection,
    Selection,
    read_participants,
    recorded_participants,
)
from fedforge_runtime.record.records import write_tables
from fedforge_runtime.record.results import publish_results
from fedforge_runtime.record.stages import Stage, stages_of
from fedforge_runtime.sites.settings import RunSettings
from fedforge_runtime.telemetry.control import INTERRUPTED, await_result, present_control
from fedforge_runtime.telemetry.emitter import Emitter, Heartbeat
from monitor.schema import CheckpointSaved, RunCompleted, RunFailed, RunStarted, RunStopped

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
        except (RunStoppedError, KeyboardInterrupt) as stop:
            reason = stop.message if isinstance(stop, RunStoppedError) else INTERRUPTED
            emitter.emit(RunStopped, round_number=attempt.round, node_id="server", reason=reason)
            raise
        except BaseException as error:
            reason = failure_reason(explained(error, folder.path) or error)
            emitter.emit(RunFailed, round_number=attempt.round_at_work, node_id="server", reason=reason)
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
        self._loop: RoundLoop | None = None
        self._grid = RunGrid(
            grid,
            control=present_control(),
            emitter=emitter,
            sites=config.sites,
            settings=settings.for_sites().to_record(),
            own_data=settings.own_data,
        )
        self._checkpoints = CheckpointStore(settings.folder.checkpoints)
        self._rules = RoundRules(
            seed=config.seed,
            rounds=config.federation.rounds,
            minimum_clients=config.federation.minimum_clients,
            timeout_seconds=config.federation.round_timeout_seconds,
        )
        self._replayed = (
            read_participants(settings.participants_file, rounds=self._rules.rounds, sites=config.sites)
            if settings.participants_file
            else None
        )

    @property
    def round(self) -> int:
        """The last round that is done."""
        return self._heartbeat.round_number

    @property
    def round_at_work(self) -> int:
        """The round that is on its way, or the last that is done where none is."""
        return max(self.round, self._loop.number if self._loop else 0)

    def run(self) -> Checkpoint:
        config = self._settings.config
        self._emitter.emit(
            RunStarted,
            round_number=0,
            node_id="server",
            engine=config.runtime.engine,
            rounds_total=config.federation.rounds,
            clients=len(config.sites),
        )
        self._grid.gate(0)
        self._grid.discover(len(config.sites), timeout=config.federation.connect_timeout_seconds)
        start = self._checkpoints.latest() or self._first_checkpoint()
        self._record(start)
        state = start
        for stage in stages_of(config):
            if stage.last > state.round:
                state = self._rounds(stage, self._enter(stage, state))
        evaluation = publish_results(self._settings, state, self._pool, self._grid.control)
        if self._settings.own_data:
            describe_own_data(self._emitter, state.records, described=self._grid.described)
        evaluate_sites(self._emitter, state.records)
        evaluate_run(self._emitter, evaluation, round_number=state.round, model_sha256=state.model_sha256)
        return state

    def _rounds(self, stage: Stage, start: Checkpoint) -> Checkpoint:
        """The rounds of a stage that are left. Each stage has a server optimiser of its own."""
        loop = self._loop = RoundLoop(
            grid=self._grid,
            strategy=build_strategy(self._settings.config.federation.strategy),
            selection=self._selection(),
            rules=replace(self._rules, rounds=stage.last, mode=stage.mode),
            emitter=self._emitter,
            evaluate_centrally=lambda parameters: self._evaluate(stage.first, parameters, start.standardisation),
            save=self._save,
        )
        return loop.run(start)

    def _enter(self, stage: Stage, state: Checkpoint) -> Checkpoint:
        """The state before a later stage's first round: what it begins to train, as the backbone has it."""
        if stage.first == 1 or state.round >= stage.first:
            return state
        return replace(state, parameters=state.parameters | self._initial_backbone(stage.mode), server_state={})

    def _initial_backbone(self, mode: Mode) -> Parameters:
        if mode == "head_only":
            return {}
        outcome = self._pool.submit(initial_backbone_in_worker, self._settings.inputs, mode)
        return dict(await_result(outcome, self._grid.control))

    def _first_checkpoint(self) -> Checkpoint:
        """Round 0: the seeded head or that of a warm start, and the standardisation that all clients agree on."""
        config, inputs = self._settings.config, self._settings.inputs
        standardise, warm = config.learning.standardise, config.federation.warm_start == "closed_form"
        replayed = self._replayed.rounds.get(0) if self._replayed else None
        standardisation, asked = None, list(config.sites)
        parameters = initial_head(inputs.feature_size, len(inputs.class_names), seed=config.seed)
        if warm:
            moments, asked = federated_moments(
                self._grid, replayed, self._rules, feature_size=inputs.feature_size, class_count=len(inputs.class_names)
            )
            standardisation = Standardisation.from_sums([moments.sums]) if standardise else None
            parameters = moments.standardised(standardisation).solve()
        elif standardise:
            standardisation, asked = federated_standardisation(
                self._grid, replayed, self._rules, feature_size=inputs.feature_size
            )
        parameters |= self._initial_backbone(config.learning.mode_in(1))
        checkpoint = Checkpoint(0, parameters, {}, standardisation, [])
        ParticipantRecord(rounds={0: asked}).write(self._settings.folder.participants)
        self._checkpoints.save(checkpoint)
        self._emitter.emit(CheckpointSaved, round_number=0, node_id="server", model_sha256=checkpoint.model_sha256)
        return checkpoint

    def _selection(self) -> Selection:
        config = self._settings.config
        return (
            ReplayedSelection(self._replayed.rounds)
            if self._replayed
            else SeededSelection(
                seed=config.seed, sites=config.sites, clients_per_round=config.federation.clients_per_round
            )
        )

    def _evaluate(
        self, round_number: int, parameters: Parameters, standardisation: Standardisation | None
    ) -> Future[dict[str, float]]:
        return self._pool.submit(
            evaluate_split, self._settings, round_number, parameters, standardisation, "validation"
        )

    def _save(self, checkpoint: Checkpoint) -> None:
        self._checkpoints.save(checkpoint)
        self._record(checkpoint)

    def _record(self, checkpoint: Checkpoint) -> None:
        """Have the run's records say what a checkpoint says, also where an earlier attempt died between the two."""
        self._heartbeat.round_number = checkpoint.round
        folder = self._settings.folder
        write_tables(folder, checkpoint.records)
        first = recorded_participants(folder.participants).rounds[0]
        rounds = {0: first} | {record.round: record.participants for record in checkpoint.records}
        ParticipantRecord(rounds=rounds).write(folder.participants)
