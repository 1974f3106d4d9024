"""The costly part of an audit, kept as an artifact: measures of all images, exact and near duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.feature_neighbours import FeatureSearch, find_by_features
from fedforge_runtime.data.audit.near_duplicates import Components, Edges, Thresholds, find_near_duplicates
from fedforge_runtime.data.audit.pictures import Measures, RowIndex, measure
from fedforge_runtime.data.features.caches import load_features
from fedforge_runtime.data.sources.datasets import SPLITS
from fedforge_runtime.errors import DataError
from fedforge_runtime.storage.artifacts import MANIFEST, Artifact, ArtifactStore, children
from fedforge_runtime.storage.home import Home

_CODE_VERSION = 1
"""Raised by any change to what is found or stored."""

BLANK_CONTRAST = 1.0
"""Grey levels of standard deviation below which an image shows nothing; the emptiest real ones have 1.4."""


@dataclass(frozen=True)
class FeatureSource:
    """The features that a search used."""

    key: str
    path: Path
    backbone: str
    trained: bool


@dataclass(frozen=True)
class SearchResult:
    """What one pass over the images and one search of all pairs found."""

    measures: Measures
    edges: Edges
    """Between first rows with their pixels (see `Measures.representative`), in rows of the dataset."""
    feature_candidates: int | None
    """Pairs that the features proposed; `None` without features."""
    feature_candidates_aligned: int | None


def find_features(dataset: Artifact, home: Home, backbone: str) -> FeatureSource | None:
    """Features of a dataset that were computed before: a trained backbone's, the named one's, the newest first."""
    choices = []
    for file in (folder / MANIFEST for folder in children(home.assets / "features")):
        if not file.exists():
            continue
        try:
            manifest = Artifact("features", file.parent.name, file.parent, created=False).manifest
        except DataError:  # of no use here; who needs these features is told
            continue
        if _is_of(dataset, manifest):
            source = _feature_source(file.parent, manifest)
            choices.append(((source.trained, source.backbone == backbone, manifest["made_at"]), source))
    return max(choices, key=lambda choice: choice[0])[1] if choices else None


def open_features(folder: Path, dataset: Artifact) -> FeatureSource:
    """The features in a folder that the user names.

    Raises:
        DataError: it is no finished features artifact, or one of other images.
    """
    found = Artifact("features", folder.name, folder, created=False)
    manifest = found.manifest if (folder / MANIFEST).is_file() else {}
    if manifest.get("kind") != "features":
        raise DataError(
            f"{folder} is not a folder of features.",
            remedy="Give the path that `fedforge prepare` prints for features, or leave --features out.",
        )
    if not _is_of(dataset, manifest):
        raise DataError(
            f"the features in {folder} are not those of all images of this dataset as it is.",
            remedy="Compute them with `fedforge prepare` and the same --data, or leave --features out.",
        )
    return _feature_source(folder.absolute(), manifest)


def prepare_search(
    dataset: Artifact,
    features: FeatureSource | None,
    *,
    store: ArtifactStore,
    thresholds: Thresholds,
    notify: Callable[[str], None],
) -> Artifact:
    """The artifact `audit_search`; see `load_search`."""
    inputs = {
        "dataset": dataset.key,
        "features": features.key if features else None,
        "thresholds": asdict(thresholds) | {"blank_contrast": BLANK_CONTRAST},
        "code": _CODE_VERSION,
    }
    return store.build("audit_search", inputs, lambda folder: _search(folder, dataset, features, thresholds, notify))


def load_search(artifact: Artifact) -> SearchResult:
    """What `prepare_search` stored."""
    facts = artifact.manifest["facts"]
    return SearchResult(
        measures=Measures(**{name: _load(artifact.path, name) for name in Measures.__dataclass_fields__}),
        edges=Edges(**{name: _load(artifact.path, f"edge_{name}") for name in Edges.__dataclass_fields__}),
        feature_candidates=facts["feature_candidates"],
        feature_candidates_aligned=facts["feature_candidates_aligned"],
    )


def _search(
    folder: Path,
    dataset: Artifact,
    features: FeatureSource | None,
    thresholds: Thresholds,
    notify: Callable[[str], None],
) -> dict[str, Any]:
    rows = len(RowIndex.of(dataset))
    notify(f"Reading {rows:,} images.")
    measures, thumbnails = measure(dataset)
    searched = np.flatnonzero((measures.representative == np.arange(rows)) & (measures.contrast >= BLANK_CONTRAST))
    if len(searched) < rows:
        thumbnails = thumbnails[searched]
    notify(f"Comparing {len(searched):,} different images by perceptual hash: {len(searched) ** 2 / 2:.2g} pairs.")
    components = Components(len(searched))
    edges = find_near_duplicates(thumbnails, components, thresholds)
    by_features: FeatureSearch | None = None
    if features:
        notify(f"Comparing them by the features of {features.backbone}.")
        by_features = find_by_features(thumbnails, _feature_rows(features, searched), components, thresholds)
        edges = Edges.together([edges, by_features.edges])
    for name, values in vars(measures).items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    for name, values in vars(edges).items():
        in_dataset = searched[values] if name in ("first", "second") else values
        np.save(folder / f"edge_{name}.npy", in_dataset, allow_pickle=False)
    return {
        "rows": rows,
        "compared": len(searched),
        "edges": len(edges),
        "feature_candidates": by_features.candidates if by_features else None,
        "feature_candidates_aligned": by_features.aligned if by_features else None,
    }


def _feature_rows(features: FeatureSource, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    everything = np.concatenate([load_features(features.path, split)[0] for split in SPLITS])
    return everything if len(rows) == len(everything) else everything[rows]


def _is_of(dataset: Artifact, manifest: Mapping[str, Any]) -> bool:
    """Whether features are of all images of a dataset, as they are; a run over own data has none for training."""
    inputs = manifest["inputs"]
    return (
        inputs.get("dataset") == dataset.key
        and not inputs.get("scanners")
        and manifest["facts"]["rows"].keys() >= set(SPLITS)
    )


def _feature_source(folder: Path, manifest: Mapping[str, Any]) -> FeatureSource:
    facts = manifest["facts"]
    return FeatureSource(manifest["key"], folder, Path(facts["backbone"]).name, bool(facts["trained"]))


def _load(folder: Path, name: str) -> NDArray[Any]:
    values: NDArray[Any] = np.load(folder / f"{name}.npy", allow_pickle=False)
    return values
