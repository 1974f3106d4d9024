"""One client's rows and the model that fits them: the only place where a client reads data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fedforge_runtime.config import Mode
from fedforge_runtime.data.features.caches import load_features, load_tokens
from fedforge_runtime.data.features.preprocess import PROCESSOR_FOLDER, ImageReader
from fedforge_runtime.data.features.row_pass import BATCH
from fedforge_runtime.data.partition import load_client_rows
from fedforge_runtime.data.sources.datasets import Split, labels_file
from fedforge_runtime.learning.model import (
    FeatureHead,
    Head,
    ImageHead,
    TokenHead,
    class_token,
    is_trained,
    load_backbone_model,
    open_backbone,
)
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.rows import FeatureRows, ImageRows, Rows, TokenRows
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.preparation.inputs import RunInputs

Form = Literal["features", "tokens", "images"]
"""What a model takes: the cache of what its mode keeps frozen, else images."""


@dataclass(frozen=True)
class Site:
    """A client's own training and validation rows."""

    train: Rows
    validation: Rows


def form_of(inputs: RunInputs, mode: Mode) -> Form:
    """What a model of a mode takes in a run."""
    if mode == "head_only" and inputs.features:
        return "features"
    return "tokens" if mode == "last_block" and inputs.tokens else "images"


def open_site(inputs: RunInputs, client: int, mode: Mode) -> Site:
    """The rows of one client, in the form that the mode's model takes."""
    form, partition = form_of(inputs, mode), inputs.partition_folder
    folders = _folders_of(inputs, form)
    sites = _sites(form, folders, partition)
    if client not in sites:
        rows = load_client_rows(partition, client)
        sites[client] = Site(*(_rows(form, folders, "train", part, client) for part in (rows.train, rows.validation)))
    return sites[client]


def open_pool(inputs: RunInputs, clients: Sequence[int], mode: Mode) -> Rows:
    """The training rows of several clients together: what somebody trains on who has them all."""
    form = form_of(inputs, mode)
    rows = [load_client_rows(inputs.partition_folder, client).train for client in clients]
    return _rows(form, _folders_of(inputs, form), "train", np.sort(np.concatenate(rows)))


def open_split(inputs: RunInputs, split: Split, mode: Mode) -> Rows:
    """All rows of a central split, for the server's evaluation."""
    form = form_of(inputs, mode)
    return _rows(form, _folders_of(inputs, form), split)


def build_model(inputs: RunInputs, mode: Mode, standardisation: Standardisation | None, parameters: Parameters) -> Head:
    """The model that a mode trains, with these values in all of its trainable tensors."""
    model = _new_model(inputs, mode, standardisation)
    model.load_trainable(parameters)
    return model


def _new_model(inputs: RunInputs, mode: Mode, standardisation: Standardisation | None) -> Head:
    """A model whose trainable tensors still hold what the last one in this process left in them."""
    classes, backbone, form = len(inputs.class_names), Path(inputs.backbone), form_of(inputs, mode)
    if form == "features":
        return FeatureHead(inputs.feature_size, classes, standardisation)
    if mode == "head_only":
        return ImageHead(open_backbone(backbone), classes, standardisation, mode)
    trained = _trained_backbone(backbone)
    model: Head = (
        TokenHead(trained, classes, standardisation)
        if form == "tokens"
        else ImageHead(trained, classes, standardisation, mode)
    )
    model.zero_grad()
    return model


def initial_backbone(inputs: RunInputs, mode: Mode) -> Parameters:
    """What a mode trains beside the head, as the backbone has it, by name."""
    backbone = open_backbone(Path(inputs.backbone))
    return {
        f"vit.{name}": value.numpy().copy()
        for name, value in backbone.named_parameters()
        if is_trained(name, mode, len(backbone.layers))
    }


def class_features(inputs: RunInputs, client: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (rows, feature_size) and labels (rows,) of a client's training rows, by the backbone as it comes."""
    rows = open_site(inputs, client, "head_only").train
    if isinstance(rows, FeatureRows):
        return rows.features.numpy(), rows.labels.numpy()
    backbone = open_backbone(Path(inputs.backbone))
    features, labels = [], []
    for start in range(0, len(rows), BATCH):
        batch = rows.__getitems__(range(start, min(start + BATCH, len(rows))))
        with torch.inference_mode():
            features.append(class_token(backbone, batch["pixel_values"]).numpy())
        labels.append(batch["labels"].numpy())
    return np.concatenate(features), np.concatenate(labels)


def rows_per_class(inputs: RunInputs, client: int, mode: Mode) -> list[int]:
    """How many rows of each class a client has, by class id, those for training and for validation together."""
    form = form_of(inputs, mode)
    folder, rows = _folders_of(inputs, form).rows, load_client_rows(inputs.partition_folder, client)
    labels = load_features(folder, "train")[1] if form == "features" else np.load(labels_file(folder, "train"))
    held = labels[np.concatenate([rows.train, rows.validation])].ravel()
    return [int(count) for count in np.bincount(held, minlength=len(inputs.class_names))]


@dataclass(frozen=True)
class _Folders:
    """Where the rows of a form are, and what images need: the processor and the sites' scanners."""

    rows: Path
    processor: Path
    scanners: Path | None


def _folders_of(inputs: RunInputs, form: Form) -> _Folders:
    folder = {"features": inputs.features, "tokens": inputs.tokens, "images": inputs.dataset}[form]
    assert folder is not None
    scanners = Path(inputs.partition) if inputs.partition else None
    return _Folders(Path(folder), Path(inputs.preprocess) / PROCESSOR_FOLDER, scanners)


@lru_cache(maxsize=2)
def _sites(form: Form, folders: _Folders, partition: Path) -> dict[int, Site]:
    """The sites that this process has read, of the last two forms: those of a staged run. What former runs of a
    process that stays have read goes."""
    return {}


def _rows(
    form: Form, folders: _Folders, split: Split, rows: NDArray[np.int64] | None = None, client: int | None = None
) -> Rows:
    """Some rows of a split, those of a client, or all of them."""
    if form == "features":
        features, labels = load_features(folders.rows, split)
        return FeatureRows(features, labels) if rows is None else FeatureRows(features[rows], labels[rows])
    labels = np.load(labels_file(folders.rows, split), mmap_mode="c", allow_pickle=False)
    chosen = np.arange(len(labels)) if rows is None else rows
    if form == "tokens":
        return TokenRows(load_tokens(folders.rows, split), labels, chosen)
    reader = ImageReader(folders.rows, folders.processor, folders.scanners, client)
    return ImageRows(partial(reader.read, split), chosen)


_trained_backbone = lru_cache(maxsize=1)(load_backbone_model)
"""A backbone whose trained tensors are overwritten with every message; `open_backbone`'s is never changed."""
