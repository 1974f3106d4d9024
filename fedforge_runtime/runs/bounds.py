"""What a federated number lies between: the models of each site alone, and the model of all rows in one place.

Each is trained by the function that clients use, on the same rows, from the same first head, with the same
standardisation, for as many epochs as a client trains in all rounds; and each is scored on the central splits.
Beside them the closed form: the ridge head of all rows. The artifact `bounds` depends on nothing that only a
federation has (strategy, who takes part, warm start), so that runs which differ in these share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from fedforge_runtime.config import LearningConfig, Mode, RunConfig, read_run_config
from fedforge_runtime.data.features.preprocess import numeric_versions
from fedforge_runtime.data.partition import load_client_rows
from fedforge_runtime.errors import DivergedError, RunError, RunStoppedError
from fedforge_runtime.learning.parameters import Parameters, initial_head
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.prepare import inputs_exist
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.record.comparison import Bounds
from fedforge_runtime.record.documents import read_inputs
from fedforge_runtime.record.stages import stages_of
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.storage.artifacts import Artifact, read_json, write_json
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.control import SignalControl
from fedforge_runtime.telemetry.narration import Narrator

Scores = dict[str, dict[str, float]]
"""Metrics by central split, `validation` and `test`."""
_SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")
_FILE = "bounds.json"


def record_bounds(folder: RunFolder, *, home: Home, narrator: Narrator) -> Bounds:
    """Compute the bounds of a run, or find them, and leave a copy in its folder: `bounds.json`.

    Raises:
        RunError: the run has not begun, or the data of its sites are not on this machine.
        DivergedError: a model that the run is compared with has no scores.
        RunStoppedError: interrupted; the models that were finished are kept.
    """
    config, inputs = read_run_config(folder.config), read_inputs(folder)
    if inputs is None:
        raise RunError(
            f"the run {folder.run_id!r} has no data yet to compute bounds on.",
            remedy=f"Go on with: fedforge resume {folder.run_id}",
        )
    if config.federation.site_data == "own":
        raise RunError(
            f"the run {folder.run_id!r} has no bounds: they need the rows of all sites, which never left them.",
            remedy="Its records say how each site's own model does on that site's validation rows.",
        )
    if not inputs_exist(inputs):
        raise RunError(
            f"what the run {folder.run_id!r} was made of is not on this machine any more.",
            remedy=f"Make it again with: fedforge prepare {config.phase} --config {folder.config}",
        )
    # Several models at once: never on the device that the clients may have had to themselves.
    config = config.model_copy(update={"learning": config.learning.model_copy(update={"device": "cpu"})})
    with (
        Workshop(config, home, narrator, tasks=len(config.sites) + 1) as workshop,
        SignalControl().installed() as control,
    ):
        try:
            artifact = compute_bounds(inputs, workshop, control.raise_if_stopped)
        except RunStoppedError as stop:
            stop.remedy = f"Go on with: fedforge bounds {folder.run_id}"
            raise
    bounds = read_bounds(artifact)
    write_json(folder.bounds, bounds)
    return bounds


def compute_bounds(inputs: RunInputs, workshop: Workshop, check_stop: Callable[[], None]) -> Artifact:
    """The artifact `bounds`, from artifacts on this machine alone.

    It pools the rows of all sites, which is possible in a simulation and never in a federation of real sites,
    whose rows are not here.

    Args:
        inputs: of a run with the workshop's configuration.
        check_stop: called often; whatever it raises ends the work, which can be gone on with later.
    """
    config = workshop.config
    key = {
        "inputs": dict(inputs.keys),
        "backbone_sha256": inputs.backbone_sha256,
        "seed": config.seed,
        "rounds": config.federation.rounds,
        "learning": config.learning.model_dump(mode="json"),
        "versions": numeric_versions() | {name: version(name) for name in ("accelerate", "numpy")},
        "code": 1,
    } | ({"sites": list(config.sites)} if config.federation.sites else {})

    def build(folder: Path) -> Mapping[str, Any]:
        return _Computation(inputs, workshop, folder, check_stop).run()

    return workshop.store.build("bounds", key, build, resumable=True, scratch=["local-*.json", "centralized.json"])


def read_bounds(artifact: Artifact) -> Bounds:
    """What `record_bounds` returns."""
    bounds: Bounds = read_json(artifact.path / _FILE)
    return {**bounds, "artifact": artifact.key}


@dataclass(frozen=True)
class _Computation:
    """One build of the artifact; each finished model leaves a file that a later build finds."""

    inputs: RunInputs
    workshop: Workshop
    folder: Path
    check_stop: Callable[[], None]

    def run(self) -> Mapping[str, Any]:
        config, pool, clients = self.workshop.config, self.workshop.pool, self.workshop.config.sites
        rows = {client: len(load_client_rows(self.inputs.partition_folder, client).train) for client in clients}
        trained: dict[str, Sequence[int]] = {"centralized": clients}
        trained |= {f"local-{client:05d}": [client] for client in sorted(clients, key=lambda each: -rows[each])}
        total = len(trained) + 1
        self.workshop.narrator.bounds(0, total)
        closed_form, standardisation = self._await(pool.submit(_closed_form, config, self.inputs))
        self._train(trained, standardisation, total)
        bounds = {
            "budget_epochs": config.federation.rounds * config.learning.epochs,
            "centralized": read_json(self._file("centralized")),
            "local": [
                {"client": client, "rows": rows[client], **read_json(self._file(f"local-{client:05d}"))}
                for client in clients
            ],
            "closed_form": closed_form,
        }
        write_json(self.folder / _FILE, bounds)
        return {"clients": len(clients), "rows": sum(rows.values())}

    def _train(self, models: Mapping[str, Sequence[int]], standardisation: Standardisation | None, total: int) -> None:
        """Train those that have no file yet, in their order: the biggest first, so that no core waits at the end."""
        pool, running = self.workshop.pool, dict[Future[Any], str]()
        try:
            for name, clients in models.items():
                if not self._file(name).exists():
                    submitted = pool.submit(
                        _train_alone, self.workshop.config, self.inputs, standardisation, tuple(clients)
                    )
                    running[submitted] = name
            self.workshop.narrator.bounds(total - len(running), total)
            while running:
                self.check_stop()
                finished, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    name = running.pop(future)
                    write_json(self._file(name), _scores_of(future, models[name]))
                    self.workshop.narrator.bounds(total - len(running), total)
        finally:
            for future in running:
                pool.abandon(future)

    def _await(self, future: Future[Any]) -> Any:
        try:
            while not wait([future], timeout=0.1).done:
                self.check_stop()
        finally:
            self.workshop.pool.abandon(future)
        return future.result()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _scores_of(trained: Future[Scores], clients: Sequence[int]) -> Scores:
    """Of the model of these clients' rows.

    Raises:
        DivergedError: it has none; says whose model it is.
    """
    try:
        return trained.result()
    except DivergedError as error:
        whose = f"client {clients[0]} alone" if len(clients) == 1 else "all rows in one place"
        raise DivergedError(f"the model of {whose}: {error.message}", remedy=error.remedy) from error


def _closed_form(config: RunConfig, inputs: RunInputs) -> tuple[Scores, Standardisation | None]:
    """Scores of the ridge head of all rows, and the standardisation that they give; runs in a worker."""
    from fedforge_runtime.learning.sums import FeatureMoments
    from fedforge_runtime.sites.site import class_features

    moments = FeatureMoments.total(
        FeatureMoments.of(*class_features(inputs, client), len(inputs.class_names)) for client in config.sites
    )
    standardisation = Standardisation.from_sums([moments.sums]) if config.learning.standardise else None
    head = moments.standardised(standardisation).solve()
    return _scores(inputs, "head_only", head, standardisation, config.learning), standardisation


def _train_alone(
    config: RunConfig, inputs: RunInputs, standardisation: Standardisation | None, clients: tuple[int, ...]
) -> Scores:
    """Scores of the model of these clients' pooled rows; runs in a worker."""
    from fedforge_runtime.learning.training import train_model
    from fedforge_runtime.sites.site import build_model, initial_backbone, open_pool

    learning, mode = config.learning, config.learning.mode
    parameters = initial_head(inputs.feature_size, len(inputs.class_names), seed=config.seed)
    for stage in stages_of(config):
        if stage.mode != "head_only":
            parameters |= initial_backbone(inputs, stage.mode)
        parameters = train_model(
            build_model(inputs, stage.mode, standardisation, parameters),
            training_rows=open_pool(inputs, clients, stage.mode),
            validation_rows=None,
            learning=learning.model_copy(update={"epochs": (stage.last - stage.first + 1) * learning.epochs}),
            seed=derive_seed(config.seed, "bounds", stage.first, *clients),
        ).parameters
    return _scores(inputs, mode, parameters, standardisation, learning)


def _scores(
    inputs: RunInputs,
    mode: Mode,
    parameters: Parameters,
    standardisation: Standardisation | None,
    learning: LearningConfig,
) -> Scores:
    from fedforge_runtime.learning.training import evaluate_model
    from fedforge_runtime.sites.site import build_model, open_split

    model = build_model(inputs, mode, standardisation, parameters)
    return {split: evaluate_model(model, open_split(inputs, split, mode), learning) for split in _SPLITS}
