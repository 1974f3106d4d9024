"""A pass over every image that takes minutes: chunks of rows in parallel, and an interrupted one goes on.

What it computes of a row depends on that row alone, so neither the number of workers nor an interruption shows
in the result.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedforge_runtime.clock import monotonic
from fedforge_runtime.data.sources.datasets import SPLITS, Split, labels_file, load_labels
from fedforge_runtime.errors import StorageError
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.progress import Progress
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, write_atomically
from fedforge_runtime.wording import size

CHUNK_ROWS = 64
BATCH = 8
"""Images that go through the backbone at once: the fastest on a CPU."""
_PROGRESS = "progress.jsonl"
_PACE_CHUNKS = 4
"""Between the first and the last of so many finished chunks the time is taken."""
_PACE_SECONDS = 60.0
"""And over so long, at most, where there are more."""


class Pace:
    """How fast rows have come lately. What workers need before their first row, seconds for torch, does not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, moment: float, rows_done: int) -> None:
        """So many rows were done at a moment, in seconds."""
        self._seen.append((moment, rows_done))
        while moment - self._seen[0][0] > _PACE_SECONDS and len(self._seen) > _PACE_CHUNKS:
            self._seen.popleft()

    def seconds_for(self, rows: int) -> float | None:
        """What so many more rows take; `None` while too few chunks are done to say."""
        (first, rows_then), (last, rows_now) = self._seen[0], self._seen[-1]
        if len(self._seen) < _PACE_CHUNKS or last == first:
            return None
        return rows * (last - first) / (rows_now - rows_then)


@dataclass(frozen=True)
class Chunk:
    """Rows `start` to `stop` of a split."""

    split: Split
    start: int
    stop: int


Compute = Callable[[Chunk, Path], None]
"""Computes a chunk in a worker and writes it to a file in place; picklable, so a dataclass of a module."""


@dataclass(frozen=True)
class PassTools:
    """What a pass works with, the same for every kind of it.

    Args:
        store: where the arrays are kept.
        pool: computes as many chunks at the same time as it has workers.
        report: called at the start and after each chunk.
        check_stop: called often; whatever it raises ends the pass, which can be gone on with later.
    """

    store: ArtifactStore
    pool: WorkerPool
    report: Callable[[Progress], None]
    check_stop: Callable[[], None]


def array_file(folder: Path, what: str, split: Split) -> Path:
    return folder / f"{what}_{split}.npy"


@dataclass(frozen=True)
class RowPass:
    """One pass into one folder: `<what>_<split>.npy` float32 (rows, *row_shape), `labels_<split>.npy` int64 (rows,).

    Args:
        known: splits whose array is taken from another artifact's folder, since it would come out the same.
        splits: of which it has an array.
    """

    folder: Path
    what: str
    dataset: Artifact
    row_shape: tuple[int, ...]
    compute: Compute
    tools: PassTools
    known: Mapping[Split, Path] = field(default_factory=dict)
    splits: Sequence[Split] = SPLITS

    def run(self) -> Mapping[str, Any]:
        """Compute what is missing.

        Returns:
            Facts: `rows` by split, and `images_per_second`, `None` when nothing was left to compute.

        Raises:
            StorageError: not enough room on the disk.
        """
        rows = {split: len(load_labels(self.dataset, split)) for split in self.splits}
        done = self._begin(rows)
        chunks = [chunk for chunk in self._chunks(rows) if chunk not in done]
        rows_total, computed = sum(rows.values()), sum(chunk.stop - chunk.start for chunk in chunks)
        started = monotonic()
        self._compute(chunks, rows_total - computed, rows_total)
        seconds = monotonic() - started
        for split in self.splits:
            np.save(labels_file(self.folder, split), np.asarray(load_labels(self.dataset, split)))
        return {"rows": rows, "images_per_second": round(computed / seconds, 2) if computed else None}

    def _compute(self, chunks: list[Chunk], rows_done: int, rows_total: int) -> None:
        tools, total_bytes = self.tools, rows_total * self._row_bytes
        tools.report(Progress(self.what, rows_done, rows_total, total_bytes, None))
        pace = Pace()
        waiting = iter(chunks)
        running: dict[Future[Any], Chunk] = {}
        try:
            with (self.folder / _PROGRESS).open("ab") as progress:
                while True:
                    for chunk in waiting:
                        file = array_file(self.folder, self.what, chunk.split)
                        running[tools.pool.submit(self.compute, chunk, file)] = chunk
                        if len(running) > tools.pool.workers:
                            break
                    if not running:
                        break
                    tools.check_stop()
                    finished, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in finished:
                        chunk = running.pop(future)
                        future.result()
                        progress.write(_lines([chunk]))
                        progress.flush()
                        rows_done += chunk.stop - chunk.start
                        pace.note(monotonic(), rows_done)
                        left = pace.seconds_for(rows_total - rows_done)
                        tools.report(Progress(self.what, rows_done, rows_total, total_bytes, left))
        finally:
            for future in running:
                tools.pool.abandon(future)

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self.row_shape)) * 4

    def _begin(self, rows: Mapping[Split, int]) -> set[Chunk]:
        """The chunks that an earlier pass has done; makes the files when there was none."""
        progress = self.folder / _PROGRESS
        files = {split: array_file(self.folder, self.what, split) for split in self.splits}
        if progress.is_file() and all(file.is_file() for file in files.values()):
            done = _recorded(progress) & set(self._chunks(rows))
            write_atomically(progress, _lines(done))  # no half of a line, for the next ones come behind it
            return done
        needed, free = sum(rows.values()) * self._row_bytes, shutil.disk_usage(self.folder).free
        if free < needed * 1.1:
            raise StorageError(
                f"the {self.what} need {size(needed)}, but {self.folder.parent} has {size(free)} left.",
                remedy="Free some space or choose another home with --home DIR or FEDFORGE_HOME.",
            )
        for split, file in files.items():
            if split in self.known:
                shutil.copyfile(array_file(self.known[split], self.what, split), file)
            else:
                shape = (rows[split], *self.row_shape)
                np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape).flush()
                _reserve(file)
        known = [chunk for chunk in self._chunks(rows) if chunk.split in self.known]
        write_atomically(progress, _lines(known))
        return set(known)

    def _chunks(self, rows: Mapping[Split, int]) -> list[Chunk]:
        return [
            Chunk(split, start, min(start + CHUNK_ROWS, count))
            for split, count in rows.items()
            for start in range(0, count, CHUNK_ROWS)
        ]


@dataclass(frozen=True)
class PassImages:
    """The images of a pass.

    Args:
        scanners: a partition whose sites have scanners of their own. They leave the central splits as they are,
            which are therefore taken from the pass without them, where there is one.
        splits: those that are wanted; where they are not all, they too are taken from the pass over all.
    """

    dataset: Artifact
    scanners: Artifact | None = None
    splits: Sequence[Split] = SPLITS


def prepare_rows(
    kind: str,
    unshifted: Mapping[str, Any],
    images: PassImages,
    *,
    row_shape: tuple[int, ...],
    compute: Compute,
    facts: Mapping[str, Any],
    tools: PassTools,
) -> Artifact:
    """The artifact of a pass over a dataset's images, made when absent; an interrupted one goes on.

    Args:
        kind: of the artifact, which is also what it holds: see `RowPass.what`.
        unshifted: everything that the values depend on, but for the scanners.
        facts: what the manifest says besides the pass's own.
    """

    def build(folder: Path) -> Mapping[str, Any]:
        plain = tools.store.find(kind, tools.store.key(kind, unshifted)) if inputs != unshifted else None
        known: dict[Split, Path] = {"validation": plain.path, "test": plain.path} if plain else {}
        return {**RowPass(folder, kind, images.dataset, row_shape, compute, tools, known, images.splits).run(), **facts}

    part = {"splits": list(images.splits)} if tuple(images.splits) != SPLITS else {}
    inputs = {**unshifted, **({"scanners": images.scanners.key} if images.scanners else {}), **part}
    return tools.store.build(kind, inputs, build, resumable=True, scratch=[_PROGRESS])


def _recorded(progress: Path) -> set[Chunk]:
    """The chunks that a progress file names as done; one whose line is damaged is done again."""
    done = set()
    for line in progress.read_bytes().splitlines():
        with suppress(ValueError, TypeError, RecursionError):
            done.add(Chunk(*json.loads(line)))
    return done


def _lines(chunks: Iterable[Chunk]) -> bytes:
    """As the progress file has them."""
    return "".join(json.dumps([each.split, each.start, each.stop]) + "\n" for each in chunks).encode()


def _reserve(file: Path) -> None:
    """Occupy the whole file's space: a mapped page that a full disk has no room for kills the worker that writes it."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
