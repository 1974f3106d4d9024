"""A dataset split anew goes through memory in blocks, whatever its size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedforge_runtime.data.sources.archive import read_archive
from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.datasets import SPLITS, DatasetFacts, _write_dataset
from fedforge_runtime.data.sources.groups import Groups
from fedforge_runtime.data.sources.resplit import write_split
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore
from fedforge_runtime.storage.home import Home

SIZE = 224
ROWS = {"train": 280, "validation": 60, "test": 60}
FIRST = {"train": 0, "validation": 280, "test": 340}
PIXEL_BYTES = sum(ROWS.values()) * SIZE * SIZE * 3


def grey_images(first: int, rows: int) -> Iterator[np.ndarray]:
    for row in range(first, first + rows):
        yield np.full((1, SIZE, SIZE, 3), row % 256, np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Large images, each of one grey of its own, so that they are quickly made and told apart."""
    official = official_archive("bloodmnist", SIZE)
    labels = {split: np.arange(rows) % 8 for split, rows in ROWS.items()}

    def build(folder: Path) -> dict:
        blocks = {split: grey_images(FIRST[split], ROWS[split]) for split in SPLITS}
        return DatasetFacts(
            flag="bloodmnist",
            size=SIZE,
            source="local",
            official=False,
            fingerprint=_write_dataset(folder, official, blocks, labels),
            file_sha256="0" * 64,
            class_names=official.class_names,
            rows=ROWS,
            licence="none",
            title=official.title,
        ).to_json()

    return ArtifactStore(Home(tmp_path_factory.mktemp("home"))).build("dataset", {}, build)


def groups_of_one() -> Groups:
    """A group for each row."""
    names = tuple(f"row-{row:03d}" for row in range(sum(ROWS.values())))
    return Groups(Path("groups.csv"), "0" * 64, names, {s: FIRST[s] + np.arange(ROWS[s]) for s in SPLITS})


def test_the_archive_is_that_of_numpy_to_the_byte_and_its_pixels_are_never_all_in_memory(
    dataset: Artifact, tmp_path: Path
) -> None:
    write_split(dataset, groups_of_one(), tmp_path / "warm", fractions=[0.7, 0.1, 0.2], seed=1)  # imports and caches
    tracemalloc.start()
    new = write_split(dataset, groups_of_one(), tmp_path / "new", fractions=[0.7, 0.1, 0.2], seed=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < PIXEL_BYTES / 2, f"{peak:,} bytes for {PIXEL_BYTES:,} of pixels"
    archive = read_archive(new.archive, size=SIZE, classes=8)
    with np.load(new.archive) as arrays:
        whole = {name: arrays[name] for name in arrays.files}
    assert list(whole) == [f"{split}_{what}" for split in ("train", "val", "test") for what in ("images", "labels")]
    np.savez_compressed(tmp_path / "numpy.npz", **whole)
    assert new.archive.read_bytes() == (tmp_path / "numpy.npz").read_bytes()
    greys = np.concatenate([whole[f"{split}_images"][:, 0, 0, 0] for split in ("train", "val", "test")])
    labels = np.concatenate([archive.labels[split] for split in ("train", "val", "test")])
    expected = sorted((row % 256, row % 8 if row < 280 else (row - 280) % 60 % 8) for row in range(400))
    assert sorted(zip(greys.tolist(), labels.tolist(), strict=True)) == expected
