"""From a configuration to the artifacts that a run is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fedforge_runtime.config import RunConfig, read_run_config
from fedforge_runtime.data.features.backbone import Backbone, carry_block, check_backbone, resolve_backbone
from fedforge_runtime.data.features.caches import prepare_features, prepare_tokens
from fedforge_runtime.data.features.preprocess import prepare_preprocessing
from fedforge_runtime.data.features.row_pass import PassImages
from fedforge_runtime.data.partition import check_partition, prepare_partition, row_shifts
from fedforge_runtime.data.sources.datasets import (
    SPLITS,
    DatasetFacts,
    Split,
    load_labels,
    read_dataset_facts,
)
from fedforge_runtime.errors import RunError
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.storage.artifacts import Artifact
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import find_run
from fedforge_runtime.telemetry.control import SignalControl
from fedforge_runtime.telemetry.narration import Narrator

_CENTRAL: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class Prepared:
    """Everything that a run is made of."""

    dataset: Artifact
    partition: Artifact | None
    """`None` where the sites bring their own data."""
    preprocessing: Artifact
    backbone: Backbone
    tokens: Artifact | None = None
    """What takes long is computed of every image once, as far as the mode keeps it frozen; `None` before, and where
    it is not needed."""
    features: Artifact | None = None
    """As `tokens`."""

    @property
    def artifacts(self) -> list[Artifact]:
        """All that were made, in order."""
        made = (self.dataset, self.partition, self.preprocessing, self.tokens, self.features)
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


def prepare(workshop: Workshop) -> Prepared:
    """Validate and build dataset, partition and preprocessing; what exists already is found by its key.

    Where the sites bring their own data there is no partition, and the dataset is for the central splits.
    """
    config, narrator = workshop.config, workshop.narrator
    dataset, facts = _prepare_data(workshop)
    partition = None
    if config.federation.site_data == "partition":
        with narrator.stage("partition"):
            partition = prepare_partition(
                config.partition,
                seed=config.seed,
                labels=load_labels(dataset, "train"),
                dataset_key=dataset.key,
                class_names=facts.class_names,
                store=workshop.store,
            )
    with narrator.stage("backbone"):
        backbone, preprocessing = _prepare_model(workshop, facts.class_names)
    return Prepared(dataset, partition, preprocessing, backbone)


def _prepare_data(workshop: Workshop) -> tuple[Artifact, DatasetFacts]:
    with workshop.narrator.stage("dataset"):
        dataset = workshop.prepare_dataset()
    facts = read_dataset_facts(dataset)
    if facts.source == "phantom":
        workshop.narrator.banner(
            "PHANTOM DATA: these images are generated. Every number that follows shows that the system works "
            "and says nothing about medical images."
        )
    return dataset, facts


def _prepare_model(workshop: Workshop, class_names: Sequence[str]) -> tuple[Backbone, Artifact]:
    """The backbone, and how images become its input."""
    wanted, home, narrator = workshop.config.backbone, workshop.home, workshop.narrator
    store, pool = workshop.store, workshop.pool
    backbone = resolve_backbone(wanted.name, home=home, store=store, pool=pool, notify=narrator.notice)
    if not backbone.trained:
        narrator.banner("UNTRAINED BACKBONE: its weights are random. Scores are far below those of a trained one.")
    if wanted.block_from:
        backbone = carry_block(backbone, _model_with_block(wanted.block_from, home), store=store, pool=pool)
        narrator.notice(f"Starting from the last block of the run {wanted.block_from}.")
    return backbone, prepare_preprocessing(backbone, class_names=class_names, store=store, pool=pool)


def prepare_caches(prepared: Prepared, workshop: Workshop, check_stop: Callable[[], None]) -> Prepared:
    """With what the run's models read in place of images; as it was on the un-cached path.

    The features are needed in every mode: for the standardisation, rounds of the head alone and bounds. Of images
    that nobody trains on, as where the sites bring their own data, nothing is computed.

    Args:
        check_stop: called often; whatever it raises ends the work, which can be gone on with later.
    """
    learning, partition = workshop.config.learning, prepared.partition
    if not learning.cache_features:
        return prepared
    scanners = partition if partition and row_shifts(partition.path) else None
    images = PassImages(prepared.dataset, scanners, SPLITS if partition else _CENTRAL)
    sources = (images, prepared.preprocessing, prepared.backbone)
    tools, tokens = workshop.pass_tools(check_stop), None
    if learning.mode == "last_block":
        tokens = prepare_tokens(*sources, tools=tools)
    return replace(prepared, tokens=tokens, features=prepare_features(*sources, tokens=tokens, tools=tools))


def prepare_all(workshop: Workshop) -> Prepared:
    """Everything that a run is made of, the caches too.

    Raises:
        RunStoppedError: a signal came while the caches were computed; what there is of them is kept.
    """
    prepared = prepare(workshop)
    with SignalControl().installed() as control:
        return prepare_caches(prepared, workshop, control.raise_if_stopped)


def run_inputs(config: RunConfig, prepared: Prepared) -> RunInputs:
    """The artifacts as the ServerApp and the clients know them."""
    facts = read_dataset_facts(prepared.dataset)
    data = facts.to_json()
    if prepared.partition is None:
        del data["rows"]["train"]
    return RunInputs(
        dataset=str(prepared.dataset.path),
        partition=str(prepared.partition.path) if prepared.partition else None,
        preprocess=str(prepared.preprocessing.path),
        features=str(prepared.features.path) if prepared.features else None,
        tokens=str(prepared.tokens.path) if prepared.tokens else None,
        keys={artifact.kind: artifact.key for artifact in prepared.artifacts},
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
    return all(Path(folder).is_dir() for folder in inputs.folders.values())


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
    workshop = Workshop(config, home, narrator)
    if until == "dataset":
        return [_prepare_data(workshop)[0]]
    with workshop:
        if until == "preprocess":
            dataset, facts = _prepare_data(workshop)
            return [dataset, _prepare_model(workshop, facts.class_names)[1]]
        return prepare_all(workshop).artifacts
