"""A pass takes over what is known, also of an earlier one that was killed at any step, and computes the rest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fedforge_runtime.data.features import row_pass
from fedforge_runtime.data.features.row_pass import Chunk, Pace, PassImages, PassTools, array_file, prepare_rows
from fedforge_runtime.data.sources.datasets import SPLITS, Split, labels_file
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.progress import Progress
from fedforge_runtime.storage.artifacts import MANIFEST, Artifact, ArtifactStore
from fedforge_runtime.storage.home import Home

ROWS: Mapping[Split, int] = {"train": 5, "validation": 3, "test": 2}
WHOLE = {"what": "squares"}


class HerePool:
    """Computes at once, and counts the chunks."""

    workers = 1

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


def ignored(progress: Progress) -> None:
    pass


def prepared(
    dataset: Artifact, home: Path, splits: Sequence[Split], report: Callable[[Progress], None] = ignored
) -> tuple[Artifact, HerePool]:
    pool = HerePool()
    tools = PassTools(ArtifactStore(Home(home)), cast(WorkerPool, pool), report, lambda: None)
    artifact = prepare_rows(
        "squares",
        WHOLE,
        PassImages(dataset, splits=splits),
        row_shape=(1,),
        compute=squares,
        facts={},
        tools=tools,
    )
    return artifact, pool


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


class KilledError(BaseException):
    """Stands in for kill -9: nothing of FedForge catches it."""


class Killer:
    """Ends the process, as it were, before the n-th step on files after all chunks are computed."""

    def __init__(self, steps_left: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps_left = steps_left
        self.armed = False
        for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (np, "save")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))
        monkeypatch.setattr(hashlib, "file_digest", self._counted(hashlib.file_digest))

    def note(self, progress: Progress) -> None:
        self.armed = progress.rows_done == progress.rows_total

    def _counted(self, original: Any) -> Any:
        def step(*arguments: Any, **keywords: Any) -> Any:
            if self.armed:
                self.steps_left -= 1
                if self.steps_left == 0:
                    raise KilledError
            if self.steps_left > 0 or not self.armed:
                return original(*arguments, **keywords)
            raise KilledError  # it is dead: no clean-up either

        return step


def test_a_kill_at_any_step_after_the_last_chunk_repeats_no_chunk(dataset: Artifact, tmp_path: Path) -> None:
    steps = 0
    while True:
        steps += 1
        home = tmp_path / f"home-{steps}"
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(steps, patch)
            try:
                prepared(dataset, home, SPLITS, report=killer.note)
            except KilledError:
                killed = True
            else:
                killed = False
        artifact, pool = prepared(dataset, home, SPLITS)
        assert pool.chunks == [], f"killed before step {steps}"
        names = {path.name for path in artifact.path.iterdir()}
        assert names == {MANIFEST, *artifact.manifest["files"]}
        assert not any("progress" in name for name in names)
        if not killed:
            break
    assert steps > 10


def test_damaged_progress_costs_the_chunks_that_it_named(
    dataset: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_pass, "CHUNK_ROWS", 1)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
        prepared(dataset, tmp_path, SPLITS, report=Killer(1, patch).note)
    (progress,) = tmp_path.rglob("progress.jsonl")
    lines = progress.read_bytes().splitlines()
    lines[3] = b"\0" * len(lines[3])
    progress.write_bytes(b"\n".join(lines) + b'\n["train", 70')

    _, pool = prepared(dataset, tmp_path, SPLITS)

    assert len(lines) == sum(ROWS.values())
    assert len(pool.chunks) == 1


def test_how_long_a_pass_takes_is_told_from_its_pace_and_not_from_how_long_workers_took_to_begin() -> None:
    pace = Pace()
    for chunk in range(4):
        assert chunk == 0 or pace.seconds_for(640) is None
        pace.note(30.0 + chunk, 64 * (chunk + 1))  # the first came after half a minute, then one a second

    assert pace.seconds_for(640) == pytest.approx(10)


def test_a_pace_that_changes_is_noticed() -> None:
    pace = Pace()
    for chunk in range(100):
        pace.note(chunk, 64 * chunk)
    for chunk in range(30):
        pace.note(100 + 10 * chunk, 64 * (100 + chunk))

    assert pace.seconds_for(64) == pytest.approx(10)
