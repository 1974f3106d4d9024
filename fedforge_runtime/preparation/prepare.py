"""From a configuration to the artifacts that a run is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedforge_runtime.config import RunConfig, read_run_config
from fedforge_runtime.data.features.backbone import Backbone, check_backbone, resolve_backbone
from fedforge_runtime.data.features.carry import carry_block
from fedforge_runtime.data.features.class_tokens import prepare_features
from fedforge_runtime.data.features.preprocess import prepare_preprocessing
from fedforge_runtime.data.features.row_pass import PassTools
from fedforge_runtime.data.features.tokens import prepare_tokens
from fedforge_runtime.data.partition import check_partition, prepare_partition, row_shifts
from fedforge_runtime.data.sources.datasets import (
    SPLITS,
    DatasetFacts,
    Split,
    load_labels,
    prepare_dataset,
    read_dataset_facts,
)
from fedforge_runtime.errors import RunError
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.processes import TEMPLATE, WorkerPool
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import find_run
from fedforge_runtime.telemetry.control import SignalControl, hear_stop
from fedforge_runtime.telemetry.narration import Narrator

_CENTRAL: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class Caches:
    """What is computed of every image once, as far as the mode keeps it frozen; `None` where it is not needed."""

    features: Artifact | None = None
    tokens: Artifact | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything but the caches, which take long."""

    dataset: Artifact
    partition: Artifact | None
    """`None` where the sites bring their own data."""
    preprocessing: Artifact
    backbone: Backbone

    def artifacts(self, caches: Caches) -> list[Artifact]:
        """Everything that was made, in order."""
        made = (self.dataset, self.partition, self.preprocessing, caches.tokens, caches.features)
        return [artifact for artifact in made if artifact]


def check_preparation(config: RunConfig, home: Home) -> None:
    """Refuse, before anything is made, what could only fail later.

    Raises:
        ConfigError, BackboneError: a partition that no data fit, or a folder that is no checkpoint.
        RunError: the run that a block is to come from has none to give.
    """
    if config.federation.site_data == "partition":
        check_partition(config.partition)
    check_backbone(config.backbone.name)
    if config.backbone.block_from:
        _model_with_block(config.backbone.block_from, home)


def _model_with_block(run_id: str, home: Home) -> Path:
    """The exported model of a completed run that trained a last block."""
    folder = find_run(run_id, home)
    mode = read_run_config(folder.config).learning.mode
    if mode != "last_block":
        raise RunError(
            f"the run {run_id!r} was trained in mode {mode}, so it has no last block to carry on.",
            remedy="Name a run of mode last_block, or leave backbone.block_from out.",
        )
    if not folder.metrics.exists():
        raise RunError(f"the run {run_id!r} has no model yet.", remedy=f"Finish it with: fedforge resume {run_id}")
    return folder.model


def prepare(config: RunConfig, *, home: Home, store: ArtifactStore, pool: WorkerPool, narrator: Narrator) -> Prepared:
    """Validate and build dataset, partition and preprocessing; what exists already is found by its key.

    Where the sites bring their own data there is no partition, and the dataset is for the central splits.
    """
    dataset, facts = _prepare_data(config, home=home, store=store, narrator=narrator)
    partition = None
    if config.federation.site_data == "partition":
        with narrator.stage("partition"):
            partition = prepare_partition(
                config.partition,
                seed=config.seed,
                labels=load_labels(dataset, "train"),
                dataset_key=dataset.key,
                class_names=facts.class_names,
                store=store,
            )
    with narrator.stage("backbone"):
        backbone, preprocessing = _prepare_model(
            config, facts.class_names, home=home, store=store, pool=pool, narrator=narrator
        )
    return Prepared(dataset, partition, preprocessing, backbone)


def _prepare_data(
    config: RunConfig, *, home: Home, store: ArtifactStore, narrator: Narrator
) -> tuple[Artifact, DatasetFacts]:
    with narrator.stage("dataset"):
        dataset = prepare_dataset(
            config.dataset, home=home, store=store, notify=narrator.notice, transferred=narrator.download
        )
    facts = read_dataset_facts(dataset)
    if facts.source == "phantom":
        narrator.banner(
            "PHANTOM DATA: these images are generated. Every number that follows shows that the system works "
            "and says nothing about medical images."
        )
    return dataset, facts


def _prepare_model(
    config: RunConfig,
    class_names: Sequence[str],
    *,
    home: Home,
    store: ArtifactStore,
    pool: WorkerPool,
    narrator: Narrator,
) -> tuple[Backbone, Artifact]:
    """The backbone, and how images become its input."""
    backbone = resolve_backbone(config.backbone.name, home=home, store=store, pool=pool, notify=narrator.notice)
    if not backbone.trained:
        narrator.banner("UNTRAINED BACKBONE: its weights are random. Scores are far below those of a trained one.")
    block_from = config.backbone.block_from
    if block_from:
        backbone = carry_block(backbone, _model_with_block(block_from, home), store=store, pool=pool)
        narrator.notice(f"Starting from the last block of the run {block_from}.")
    return backbone, prepare_preprocessing(backbone, class_names=class_names, store=store, pool=pool)


def prepare_caches(config: RunConfig, prepared: Prepared, *, store: ArtifactStore, tools: PassTools) -> Caches:
    """What the run's models read in place of images; nothing on the un-cached path.

    The features are needed in every mode: for the standardisation, rounds of the head alone and bounds. Of images
    that nobody trains on, as where the sites bring their own data, nothing is computed.
    """
    if not config.learning.cache_features:
        return Caches()
    sources = (prepared.dataset, prepared.preprocessing, prepared.backbone)
    partition = prepared.partition
    scanners = partition if partition and row_shifts(partition.path) else None
    splits: Sequence[Split] = SPLITS if partition else _CENTRAL
    tokens = None
    if config.learning.mode == "last_block":
        tokens = prepare_tokens(*sources, scanners=scanners, splits=splits, store=store, tools=tools)
    features = prepare_features(*sources, scanners=scanners, tokens=tokens, splits=splits, store=store, tools=tools)
    return Caches(features, tokens)


def run_inputs(config: RunConfig, prepared: Prepared, caches: Caches) -> RunInputs:
    """The artifacts as the ServerApp and the clients know them."""
    facts = read_dataset_facts(prepared.dataset)
    data = facts.to_json()
    if prepared.partition is None:
        del data["rows"]["train"]
    return RunInputs(
        dataset=str(prepared.dataset.path),
        partition=str(prepared.partition.path) if prepared.partition else None,
        preprocess=str(prepared.preprocessing.path),
        features=str(caches.features.path) if caches.features else None,
        tokens=str(caches.tokens.path) if caches.tokens else None,
        keys={artifact.kind: artifact.key for artifact in prepared.artifacts(caches)},
        backbone=str(prepared.backbone.path),
        backbone_name=prepared.backbone.name,
        backbone_sha256=prepared.backbone.sha256,
        backbone_trained=prepared.backbone.trained,
        block_from=config.backbone.block_from,
        feature_size=prepared.backbone.hidden_size,
        class_names=list(facts.class_names),
        data=data,
    )


def inputs_exist(inputs: RunInputs) -> bool:
    """Whether everything that a run was started on is still there."""
    paths = (inputs.dataset, inputs.partition, inputs.preprocess, inputs.backbone, inputs.features, inputs.tokens)
    return all(Path(path).is_dir() for path in paths if path)


Until = Literal["dataset", "preprocess", "features"]
"""How far to prepare: the data alone, with what the model needs to read them, or all that a run needs."""


def prepare_everything(
    config: RunConfig, *, home: Home, narrator: Narrator, until: Until = "features"
) -> list[Artifact]:
    """Build the artifacts of a configuration without a run; returns them in order.

    Raises:
        ConfigError, DataError, BackboneError, StorageError: the request cannot be carried out.
        RunStoppedError: interrupted; the features computed so far are kept.
    """
    check_preparation(config, home)
    home.require_writable()
    store = ArtifactStore(home, hear_stop)
    if until == "dataset":
        return [_prepare_data(config, home=home, store=store, narrator=narrator)[0]]
    TEMPLATE.start()
    workers = config.runtime.worker_count(config.partition.clients)
    with WorkerPool(workers, threads=config.runtime.threads_per_worker) as pool:
        if until == "preprocess":
            dataset, facts = _prepare_data(config, home=home, store=store, narrator=narrator)
            names = facts.class_names
            return [dataset, _prepare_model(config, names, home=home, store=store, pool=pool, narrator=narrator)[1]]
        prepared = prepare(config, home=home, store=store, pool=pool, narrator=narrator)
        with SignalControl().installed() as control:
            tools = PassTools(pool, workers, narrator.row_pass, control.raise_if_stopped)
            caches = prepare_caches(config, prepared, store=store, tools=tools)
    return prepared.artifacts(caches)
