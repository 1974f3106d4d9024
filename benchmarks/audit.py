"""The audit of as many images as PathMNIST has: all pairs searched by perceptual hash and by features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Results
from benchmarks.memory import MemoryWatch
from benchmarks.product import fedforge
from benchmarks.subject import Subject, fresh_home
from fedforge_runtime.clock import monotonic
from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.datasets import SPLITS, labels_file
from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.storage.artifacts import ArtifactStore

_SEED = 17
_FEATURE_SIZE = 192
_COPIES = 0.02
"""Part of the images that copy another one, brightened: what an audit has to find."""
_ROWS_AT_ONCE = 4096
_FLAG = "pathmnist"


def measure(subject: Subject) -> Results:
    """One audit of a dataset that is there already, features included, from launch to report.

    The images are blends of two real ones, turned and mirrored, so that they are as alike as real ones and all
    different. The features are random directions, whose search costs the same as that of real ones.
    """
    official = official_archive(_FLAG, 28)
    limit = subject.effort.dataset_limit
    sizes = {split: official.rows[split] if limit is None else max(limit // 3, 30) for split in SPLITS}
    with fresh_home() as home:
        data = home.root / "blends"
        data.mkdir()
        write_blends(data / official.file_name, subject.data, sizes, len(official.class_names))
        options = ["path", "--data", str(data), "--no-fail"]
        first = fedforge("audit", *options, "--no-features", home=home)
        _write_features(ArtifactStore(home), str(first["dataset"]["key"]), sizes)
        watch = MemoryWatch()
        started = monotonic()
        audit = fedforge("audit", *options, home=home, watch=watch)
        seconds = monotonic() - started
    assert audit["features"] is not None
    found = {finding["id"]: finding["count"] for finding in audit["findings"]}
    return {
        "audit_seconds": seconds,
        "audit_images": sum(sizes.values()),
        "audit_peak_memory_mb": watch.peak_proportional_bytes / 1e6,
        "audit_near_duplicates_found": sum(count for name, count in found.items() if name.startswith("near")),
        "audit_features_candidates": audit["features"]["candidates"],
    }


def write_blends(path: Path, data: str, sizes: dict[str, int], classes: int) -> None:
    """An archive of blended images, a few of which are brightened copies of others."""
    base = _base_images(data)
    random = np.random.RandomState(_SEED)
    arrays = {}
    for split, name in zip(SPLITS, ("train", "val", "test"), strict=True):
        images = np.empty((sizes[split], *base.shape[1:]), dtype=np.uint8)
        for start in range(0, len(images), _ROWS_AT_ONCE):
            some = images[start : start + _ROWS_AT_ONCE]
            some[:] = _blend(base, len(some), random)
        copies = random.permutation(len(images))[: 2 * max(int(_COPIES * len(images)), 1)].reshape(2, -1)
        images[copies[0]] = np.clip(images[copies[1]].astype(np.int16) + 6, 0, 255).astype(np.uint8)
        arrays[f"{name}_images"] = images
        arrays[f"{name}_labels"] = random.randint(0, classes, (len(images), 1)).astype(np.uint8)
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _base_images(data: str) -> NDArray[np.uint8]:
    file = Path(data) / f"{_FLAG}.npz"
    if not file.is_file():
        return generate(_FLAG, 28, 1000)["train_images"]
    with np.load(file, allow_pickle=False) as archive:
        images: NDArray[np.uint8] = archive["train_images"]
    return images


def _blend(base: NDArray[np.uint8], count: int, random: np.random.RandomState) -> NDArray[np.uint8]:
    share = random.uniform(0.55, 0.85, (count, 1, 1, 1))
    one, other = (_turned(base[random.randint(0, len(base), count)], random) for _ in range(2))
    blended: NDArray[np.uint8] = np.rint(share * one + (1 - share) * other).astype(np.uint8)
    return blended


def _turned(images: NDArray[np.uint8], random: np.random.RandomState) -> NDArray[np.uint8]:
    orientation = random.randint(0, 8, len(images))
    for which in range(1, 8):
        some = orientation == which
        turned = np.rot90(images[some], which % 4, axes=(1, 2))
        images[some] = turned[:, :, ::-1] if which >= 4 else turned
    return images


def _write_features(store: ArtifactStore, dataset: str, sizes: dict[str, int]) -> None:
    random = np.random.default_rng(_SEED)

    def build(folder: Path) -> dict[str, object]:
        for split in SPLITS:
            values = random.standard_normal((sizes[split], _FEATURE_SIZE), dtype=np.float32)
            np.save(folder / f"features_{split}.npy", values)
            np.save(labels_file(folder, split), np.zeros(sizes[split], dtype=np.int64))
        return {"backbone": "random directions", "trained": False}

    store.build("features", {"dataset": dataset}, build)
