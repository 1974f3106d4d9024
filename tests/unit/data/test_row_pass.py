"""A pass over a part of the splits: what is known of them is taken over, and the others are left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fedforge_runtime.artifacts import Artifact, ArtifactStore
from fedforge_runtime.data.row_pass import Chunk, PassTools, Progress, array_file, prepare_rows
from fedforge_runtime.data.sources import SPLITS, Split, labels_file
from fedforge_runtime.home import Home
from fedforge_runtime.processes import WorkerPool

ROWS: Mapping[Split, int] = {"train": 5, "validation": 3, "test": 2}
WHOLE = {"what": "squares"}


class HerePool:
    """Computes at once, and counts the chunks."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def submit(self, compute: Any, chunk: Chunk, file: Path) -> Future[None]:
        self.chunks.append(chunk)
        compute(chunk, file)
        done: Future[None] = Future()
        done.set_result(None)
        return done


def squares(chunk: Chunk, file: Path) -> None:
    output = np.load(file, mmap_mode="r+")
    output[chunk.start : chunk.stop, 0] = np.arange(chunk.start, chunk.stop) ** 2
    output.flush()


@pytest.fixture
def dataset(tmp_path: Path) -> Artifact:
    folder = tmp_path / "dataset"
    folder.mkdir()
    for split, rows in ROWS.items():
        np.save(labels_file(folder, split), np.arange(rows))
    return Artifact("dataset", "key", folder, created=False)


def prepared(dataset: Artifact, home: Path, splits: Sequence[Split]) -> tuple[Artifact, HerePool]:
    pool = HerePool()
    tools = PassTools(cast(WorkerPool, pool), 1, ignored, lambda: None)
    artifact = prepare_rows(
        "squares",
        WHOLE,
        dataset=dataset,
        scanners=None,
        splits=splits,
        row_shape=(1,),
        compute=squares,
        facts={},
        store=ArtifactStore(Home(home)),
        tools=tools,
    )
    return artifact, pool


def ignored(progress: Progress) -> None:
    pass


def test_only_the_splits_that_are_wanted_are_computed(dataset: Artifact, tmp_path: Path) -> None:
    part, pool = prepared(dataset, tmp_path / "home", ("validation", "test"))
    whole, _ = prepared(dataset, tmp_path / "home", SPLITS)

    assert part.key != whole.key
    assert {chunk.split for chunk in pool.chunks} == {"validation", "test"}
    assert not array_file(part.path, "squares", "train").exists()
    assert not labels_file(part.path, "train").exists()
    for split in ("validation", "test"):
        assert (
            array_file(part.path, "squares", split).read_bytes()
            == array_file(whole.path, "squares", split).read_bytes()
        )


def test_a_part_of_what_was_computed_before_is_taken_over(dataset: Artifact, tmp_path: Path) -> None:
    whole, _ = prepared(dataset, tmp_path / "home", SPLITS)
    part, pool = prepared(dataset, tmp_path / "home", ("validation", "test"))

    assert pool.chunks == []
    for split in ("validation", "test"):
        assert (
            array_file(part.path, "squares", split).read_bytes()
            == array_file(whole.path, "squares", split).read_bytes()
        )


def test_the_key_of_all_splits_is_as_it_was_before_parts_could_be_asked_for(dataset: Artifact, tmp_path: Path) -> None:
    whole, _ = prepared(dataset, tmp_path / "home", SPLITS)
    assert whole.key == ArtifactStore(Home(tmp_path)).key("squares", WHOLE)
