"""From a configuration to the artifacts that a run is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.artifacts import Artifact, ArtifactStore
from fedforge_runtime.config import RunConfig
from fedforge_runtime.control import SignalControl
from fedforge_runtime.data.backbone import Backbone, check_backbone, resolve_backbone
from fedforge_runtime.data.features import prepare_features
from fedforge_runtime.data.partition import check_partition, prepare_partition
from fedforge_runtime.data.preprocess import prepare_preprocessing
from fedforge_runtime.data.sources import load_labels, prepare_dataset, read_dataset_facts
from fedforge_runtime.federation.settings import RunInputs
from fedforge_runtime.home import Home
from fedforge_runtime.narration import Narrator
from fedforge_runtime.processes import WorkerPool, start_template


@dataclass(frozen=True)
class Prepared:
    """Everything but the features, which take long."""

    dataset: Artifact
    partition: Artifact
    preprocessing: Artifact
    backbone: Backbone

    def artifacts(self, features: Artifact | None) -> list[Artifact]:
        """Everything that was made, in order; without features on the un-cached path."""
        return [self.dataset, self.partition, self.preprocessing, *([features] if features else [])]


def check_preparation(config: RunConfig) -> None:
    """Refuse, before anything is made, what could only fail later.

    Raises:
        ConfigError, BackboneError: a partition that no data fit, or a folder that is no checkpoint.
    """
    check_partition(config.partition)
    check_backbone(config.backbone.name)


def prepare(config: RunConfig, *, home: Home, store: ArtifactStore, pool: WorkerPool, narrator: Narrator) -> Prepared:
    """Validate and build dataset, partition and preprocessing; what exists already is found by its key."""
    dataset = prepare_dataset(config.dataset, home=home, store=store, notify=narrator.notice)
    facts = read_dataset_facts(dataset)
    if facts.source == "phantom":
        narrator.banner(
            "PHANTOM DATA: these images are generated. Every number that follows shows that the system works "
            "and says nothing about medical images."
        )
    partition = prepare_partition(
        config.partition,
        seed=config.seed,
        labels=load_labels(dataset, "train"),
        dataset_key=dataset.key,
        class_names=facts.class_names,
        store=store,
    )
    backbone = resolve_backbone(config.backbone.name, home=home, store=store, pool=pool, notify=narrator.notice)
    if not backbone.trained:
        narrator.banner("UNTRAINED BACKBONE: its weights are random. Scores are far below those of a trained one.")
    preprocessing = prepare_preprocessing(backbone, class_names=facts.class_names, store=store, pool=pool)
    return Prepared(dataset, partition, preprocessing, backbone)


def prepare_run_features(
    config: RunConfig,
    prepared: Prepared,
    *,
    store: ArtifactStore,
    pool: WorkerPool,
    workers: int,
    narrator: Narrator,
    check_stop: Callable[[], None],
) -> Artifact | None:
    """The features that the run reads; `None` on the un-cached path."""
    if not config.learning.cache_features:
        return None
    return prepare_features(
        prepared.dataset,
        prepared.preprocessing,
        prepared.backbone,
        store=store,
        pool=pool,
        workers=workers,
        report=narrator.features,
        check_stop=check_stop,
    )


def run_inputs(prepared: Prepared, features: Artifact | None) -> RunInputs:
    """The artifacts as the ServerApp and the clients know them."""
    facts = read_dataset_facts(prepared.dataset)
    return RunInputs(
        dataset=str(prepared.dataset.path),
        partition=str(prepared.partition.path),
        preprocess=str(prepared.preprocessing.path),
        features=str(features.path) if features else None,
        keys={artifact.kind: artifact.key for artifact in prepared.artifacts(features)},
        backbone=str(prepared.backbone.path),
        backbone_name=prepared.backbone.name,
        backbone_sha256=prepared.backbone.sha256,
        backbone_trained=prepared.backbone.trained,
        feature_size=prepared.backbone.hidden_size,
        class_names=list(facts.class_names),
        data=facts.to_json(),
    )


def inputs_exist(inputs: RunInputs) -> bool:
    """Whether everything that a run was started on is still there."""
    paths = [inputs.dataset, inputs.partition, inputs.preprocess, inputs.backbone, inputs.features]
    return all(Path(path).is_dir() for path in paths if path)


def prepare_everything(config: RunConfig, *, home: Home, narrator: Narrator) -> list[Artifact]:
    """Build all artifacts of a configuration, features included, without a run; returns them in order.

    Raises:
        ConfigError, DataError, BackboneError, StorageError: the request cannot be carried out.
        RunStoppedError: interrupted; the features computed so far are kept.
    """
    check_preparation(config)
    home.require_writable()
    start_template()
    store = ArtifactStore(home)
    workers = config.runtime.worker_count(config.partition.clients)
    with WorkerPool(workers, threads=config.runtime.threads_per_worker) as pool:
        prepared = prepare(config, home=home, store=store, pool=pool, narrator=narrator)
        with SignalControl().installed() as control:
            features = prepare_run_features(
                config,
                prepared,
                store=store,
                pool=pool,
                workers=workers,
                narrator=narrator,
                check_stop=control.raise_if_stopped,
            )
    return prepared.artifacts(features)
