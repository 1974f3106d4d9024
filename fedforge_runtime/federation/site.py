"""One client's rows and the model that fits them: the only place where a client reads data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from fedforge_runtime.artifacts import Artifact
from fedforge_runtime.data.features import load_features
from fedforge_runtime.data.partition import load_client_rows
from fedforge_runtime.data.preprocess import PROCESSOR_FOLDER, load_processor
from fedforge_runtime.data.sources import Split, load_dataset
from fedforge_runtime.federation.settings import RunInputs
from fedforge_runtime.learning.model import FeatureHead, ImageHead, class_token, load_backbone_model
from fedforge_runtime.learning.rows import FeatureRows, ImageRows
from fedforge_runtime.learning.standardisation import FeatureSums, Standardisation

Rows = FeatureRows | ImageRows
_STATISTICS_BATCH = 8


@dataclass(frozen=True)
class Site:
    """A client's own training and validation rows."""

    train: Rows
    validation: Rows


def open_site(inputs: RunInputs, client: int) -> Site:
    """The rows of one client: features where they are cached, else images."""
    return _open_site(inputs.features, inputs.dataset, inputs.partition, inputs.preprocess, client)


def open_split(inputs: RunInputs, split: Split) -> Rows:
    """All rows of a central split, for the server's evaluation."""
    if inputs.features:
        return FeatureRows(*load_features(Path(inputs.features), split))
    return ImageRows(_images(inputs.dataset)[split], _processor(inputs.preprocess))


def build_model(inputs: RunInputs, standardisation: Standardisation | None) -> FeatureHead:
    """The head, behind the frozen backbone on the un-cached path."""
    classes = len(inputs.class_names)
    if inputs.features:
        return FeatureHead(inputs.feature_size, classes, standardisation)
    return ImageHead(_backbone(inputs.backbone), classes, standardisation)


def feature_sums(inputs: RunInputs, site: Site) -> FeatureSums:
    """The client's share of the standardisation, over its training rows."""
    if isinstance(site.train, FeatureRows):
        return FeatureSums.of(site.train.features.numpy())
    backbone = _backbone(inputs.backbone)
    shares = []
    for start in range(0, len(site.train), _STATISTICS_BATCH):
        rows = range(start, min(start + _STATISTICS_BATCH, len(site.train)))
        with torch.inference_mode():
            shares.append(class_token(backbone, site.train.__getitems__(rows)["pixel_values"]))
    return FeatureSums.of(torch.cat(shares).numpy())


@lru_cache(maxsize=512)
def _open_site(features: str | None, dataset: str, partition: str, preprocess: str, client: int) -> Site:
    rows = load_client_rows(Path(partition), client)
    if features:
        values, labels = load_features(Path(features), "train")
        return Site(
            train=FeatureRows(values[rows.train], labels[rows.train]),
            validation=FeatureRows(values[rows.validation], labels[rows.validation]),
        )
    images, processor = _images(dataset)["train"], _processor(preprocess)
    return Site(
        train=ImageRows(images.select(rows.train), processor),
        validation=ImageRows(images.select(rows.validation), processor),
    )


@lru_cache(maxsize=1)
def _images(dataset: str) -> Any:
    path = Path(dataset)
    return load_dataset(Artifact("dataset", path.name, path, created=False))


@lru_cache(maxsize=1)
def _processor(preprocess: str) -> Any:
    return load_processor(Path(preprocess) / PROCESSOR_FOLDER)


@lru_cache(maxsize=1)
def _backbone(folder: str) -> Any:
    return load_backbone_model(Path(folder))
