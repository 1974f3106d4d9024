"""The frozen backbone's output, computed once and memory-mapped by every client, round, run and sweep.

A feature is `last_hidden_state[:, 0]` after the final layer norm: what `ViTForImageClassification` feeds to its
classifier. Chunks of rows are computed in parallel; an interrupted pass goes on with the chunks that are missing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.artifacts import Artifact, ArtifactStore
from fedforge_runtime.clock import monotonic
from fedforge_runtime.data.backbone import Backbone
from fedforge_runtime.data.preprocess import PROCESSOR_FOLDER, load_processor, numeric_versions
from fedforge_runtime.data.sources import SPLITS, Split, load_labels
from fedforge_runtime.errors import DataError, StorageError
from fedforge_runtime.processes import WorkerPool

CHUNK_ROWS = 64
_BATCH = 8
_PROGRESS = "progress.jsonl"


@dataclass(frozen=True)
class Progress:
    """How far the pass is; `seconds_left` is known after the first chunk."""

    rows_done: int
    rows_total: int
    bytes_total: int
    """What the features occupy on disk."""
    seconds_left: float | None


@dataclass(frozen=True)
class _Chunk:
    split: Split
    start: int
    stop: int


def prepare_features(
    dataset: Artifact,
    preprocessing: Artifact,
    backbone: Backbone,
    *,
    store: ArtifactStore,
    pool: WorkerPool,
    workers: int,
    report: Callable[[Progress], None],
    check_stop: Callable[[], None],
) -> Artifact:
    """The artifact `features`: `features_<split>.npy` float32 (rows, hidden_size), `labels_<split>.npy` int64.

    Args:
        report: called at the start and after each chunk.
        check_stop: called often; whatever it raises ends the pass, which can be gone on with later.

    Raises:
        StorageError: not enough room on the disk.
        DataError: the backbone gave a value that is not finite.
    """
    inputs = {
        "dataset": dataset.key,
        "preprocess": preprocessing.key,
        "backbone_sha256": backbone.sha256,
        "depth": "class_token_after_final_norm",
        "dtype": "float32",
        "versions": numeric_versions(),
        "code": 1,
    }

    def build(folder: Path) -> Mapping[str, Any]:
        return _Pass(folder, dataset, preprocessing, backbone, pool, workers, report, check_stop).run()

    return store.build("features", inputs, build, resumable=True)


def load_features(folder: Path, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Memory-mapped features (rows, hidden_size) and labels (rows,) of one split; the files stay as they are."""
    # Copy-on-write: nobody writes, but torch warns of arrays that it could not write to.
    features = np.load(folder / f"features_{split}.npy", mmap_mode="c", allow_pickle=False)
    labels = np.load(folder / f"labels_{split}.npy", mmap_mode="c", allow_pickle=False)
    return features, labels


class _Pass:
    """One pass over the rows that have no features yet."""

    def __init__(
        self,
        folder: Path,
        dataset: Artifact,
        preprocessing: Artifact,
        backbone: Backbone,
        pool: WorkerPool,
        workers: int,
        report: Callable[[Progress], None],
        check_stop: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._dataset = dataset
        self._processor = preprocessing.path / PROCESSOR_FOLDER
        self._backbone = backbone
        self._pool = pool
        self._workers = workers
        self._report = report
        self._check_stop = check_stop
        self._rows: dict[Split, int] = {split: len(load_labels(dataset, split)) for split in SPLITS}

    def run(self) -> Mapping[str, Any]:
        done = self._begin()
        chunks = [chunk for chunk in self._chunks() if chunk not in done]
        rows_total = sum(self._rows.values())
        rows_done = sum(chunk.stop - chunk.start for chunk in done)
        started, rows_at_start = monotonic(), rows_done
        size = rows_total * self._backbone.hidden_size * 4
        self._report(Progress(rows_done, rows_total, size, None))
        running: dict[Future[Any], _Chunk] = {}
        waiting = iter(chunks)
        try:
            with (self._folder / _PROGRESS).open("a") as progress:
                while True:
                    for chunk in waiting:
                        running[self._submit(chunk)] = chunk
                        if len(running) > self._workers:
                            break
                    if not running:
                        break
                    self._check_stop()
                    finished, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in finished:
                        chunk = running.pop(future)
                        future.result()
                        progress.write(json.dumps([chunk.split, chunk.start, chunk.stop]) + "\n")
                        progress.flush()
                        rows_done += chunk.stop - chunk.start
                        speed = (rows_done - rows_at_start) / (monotonic() - started)
                        self._report(Progress(rows_done, rows_total, size, (rows_total - rows_done) / speed))
        finally:
            for future in running:
                self._pool.abandon(future)
        seconds = monotonic() - started
        (self._folder / _PROGRESS).unlink()
        for split in SPLITS:
            np.save(self._folder / f"labels_{split}.npy", np.asarray(load_labels(self._dataset, split)))
        computed = rows_total - rows_at_start
        return {
            "rows": dict(self._rows),
            "feature_size": self._backbone.hidden_size,
            "images_per_second": round(computed / seconds, 2) if computed else None,
            "backbone": self._backbone.name,
            "trained": self._backbone.trained,
        }

    def _begin(self) -> set[_Chunk]:
        """The chunks that an earlier pass has done; makes the files when there was none."""
        progress = self._folder / _PROGRESS
        files = [self._folder / f"features_{split}.npy" for split in SPLITS]
        if progress.is_file() and all(file.is_file() for file in files):
            complete_lines = progress.read_text().rpartition("\n")[0].splitlines()
            progress.write_text("".join(line + "\n" for line in complete_lines))
            return {_Chunk(*json.loads(line)) for line in complete_lines}
        size = self._backbone.hidden_size
        needed = sum(self._rows.values()) * size * 4
        free = shutil.disk_usage(self._folder).free
        if free < needed * 1.1:
            raise StorageError(
                f"the features need {needed / 1e6:.1f} MB, but {self._folder.parent} has {free / 1e6:.1f} MB left.",
                remedy="Free some space or choose another home with --home DIR or FEDFORGE_HOME.",
            )
        for split, file in zip(SPLITS, files, strict=True):
            np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(self._rows[split], size)).flush()
            _reserve(file)
        progress.write_text("")
        return set()

    def _chunks(self) -> list[_Chunk]:
        return [
            _Chunk(split, start, min(start + CHUNK_ROWS, rows))
            for split, rows in self._rows.items()
            for start in range(0, rows, CHUNK_ROWS)
        ]

    def _submit(self, chunk: _Chunk) -> Future[Any]:
        return self._pool.submit(
            _compute_chunk,
            self._dataset,
            self._processor,
            self._backbone.path,
            self._folder / f"features_{chunk.split}.npy",
            chunk.split,
            chunk.start,
            chunk.stop,
        )


def _reserve(file: Path) -> None:
    """Occupy the whole file's space: a mapped page that a full disk has no room for kills the worker that writes it."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def _compute_chunk(
    dataset: Artifact, processor_folder: Path, backbone: Path, file: Path, split: Split, start: int, stop: int
) -> None:
    """In a worker: features of rows `start` to `stop` of a split, written in place."""
    import torch

    from fedforge_runtime.learning.model import class_token
    from fedforge_runtime.learning.rows import process_images

    images, processor, model = _open_pipeline(dataset, processor_folder, backbone)
    output = np.load(file, mmap_mode="r+", allow_pickle=False)
    for first in range(start, stop, _BATCH):
        last = min(first + _BATCH, stop)
        with torch.inference_mode():
            pixel_values = process_images(processor, images[split][first:last]["image"])
            features = class_token(model, pixel_values).numpy()
        if not np.isfinite(features).all():
            raise DataError(
                f"the backbone {backbone} gave values that are not finite for {split} rows {first} to {last - 1}.",
                remedy="The checkpoint is broken, or the images are.",
            )
        output[first:last] = features
    output.flush()


@lru_cache(maxsize=1)
def _open_pipeline(dataset: Artifact, processor_folder: Path, backbone: Path) -> tuple[Any, Any, Any]:
    from fedforge_runtime.data.sources import load_dataset
    from fedforge_runtime.learning.model import load_backbone_model

    return load_dataset(dataset), load_processor(processor_folder), load_backbone_model(backbone)
