"""Near duplicates: the same picture brightened, moved by a pixel or two, or saved anew.

Hashes propose pairs, pixels confirm them. All pairs are looked at; what is kept is one pair for every image that
joins a group, so that data made of copies does not fill the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.similarity import Candidates, compare_moved, perceptual_hashes, search_block
from fedforge_runtime.processes.limits import usable_cores

_ROWS_A_TASK = 128
_VERIFIED_AT_ONCE = 512
_TASKS_AHEAD = 4


@dataclass(frozen=True)
class Thresholds:
    """What counts as a near duplicate; chosen on real images."""

    hash_bits: int = 8
    """Hashes that differ in more of their 63 bits are not looked at."""
    correlation: float = 0.97
    detail: float = 0.85
    cosine: float = 0.65
    """Of whitened features: less similar pairs are not looked at."""
    aligned_correlation: float = 0.97
    aligned_detail: float = 0.80
    """After turning, moving and scaling one image of a pair that the features proposed."""


@dataclass(frozen=True)
class Edges:
    """Confirmed pairs that join groups of near duplicates, a spanning forest; shape (edges,) each."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    hash_distance: NDArray[np.int64]
    """Bits; -1 for a pair that the features proposed."""
    cosine: NDArray[np.float64]
    """Of whitened features; NaN for a pair that the hashes proposed."""
    correlation: NDArray[np.float64]
    detail: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def by_features(self) -> NDArray[np.bool_]:
        """Which pairs the features proposed and the hashes did not."""
        return self.hash_distance < 0

    def __add__(self, more: Edges) -> Edges:
        return Edges(**{name: np.concatenate([getattr(self, name), getattr(more, name)]) for name in vars(self)})


def find_near_duplicates(
    thumbnails: NDArray[np.uint8], components: Components, thresholds: Thresholds, *, threads: int | None = None
) -> Edges:
    """Search all pairs by perceptual hash and confirm them by their pixels.

    The result does not depend on the number of threads.

    Args:
        thumbnails: (images, 28, 28, 3), none of them blank.
        components: of the same images; grows by what is found.
    """
    hashes = perceptual_hashes(thumbnails)
    threads = threads or usable_cores()
    found: list[tuple[Candidates, NDArray[np.float64], NDArray[np.float64]]] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="near-duplicates") as pool:
        waiting: deque[Future[tuple[Candidates, NDArray[np.float64], NDArray[np.float64]]]] = deque()

        def collect() -> None:
            pairs, correlation, detail = waiting.popleft().result()
            joined = [components.join(int(a), int(b)) for a, b in zip(pairs.first, pairs.second, strict=True)]
            if any(joined):
                components.refresh()
                kept = np.asarray(joined)
                found.append((pairs.take(kept), correlation[kept], detail[kept]))

        for rows in _row_blocks(len(thumbnails)):
            waiting.append(pool.submit(_search, thumbnails, hashes, rows, components, thresholds))
            if len(waiting) >= threads + _TASKS_AHEAD:
                collect()
        while waiting:
            collect()
    pairs = [each[0] for each in found]
    none = np.empty(0, dtype=np.int64)
    first = np.concatenate([*(each.first for each in pairs), none])
    return Edges(
        first=first,
        second=np.concatenate([*(each.second for each in pairs), none]),
        hash_distance=np.concatenate([*(each.distance for each in pairs), none]),
        cosine=np.full(len(first), np.nan),
        correlation=np.concatenate([*(each[1] for each in found), np.empty(0)]),
        detail=np.concatenate([*(each[2] for each in found), np.empty(0)]),
    )


def _row_blocks(total: int) -> Iterator[range]:
    for start in range(0, total, _ROWS_A_TASK):
        yield range(start, min(start + _ROWS_A_TASK, total))


def _search(
    thumbnails: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    rows: range,
    components: Components,
    thresholds: Thresholds,
) -> tuple[Candidates, NDArray[np.float64], NDArray[np.float64]]:
    """The confirmed pairs of some rows that join what is not joined yet, the most similar hashes first.

    Leaving out a pair whose images are joined already changes nothing: it could not join anything later either.
    """
    candidates = search_block(hashes, rows, thresholds.hash_bits, components.snapshot)
    candidates = candidates.take(np.argsort(candidates.distance, kind="stable"))
    own: dict[int, int] = {}

    def root(image: int) -> int:
        here = int(components.snapshot[image])
        while here in own:
            here = own[here]
        return here

    kept: list[Candidates] = []
    correlations: list[NDArray[np.float64]] = []
    details: list[NDArray[np.float64]] = []
    for start in range(0, len(candidates), _VERIFIED_AT_ONCE):
        some = candidates.take(np.arange(start, min(start + _VERIFIED_AT_ONCE, len(candidates))))
        if own:
            apart = [root(int(a)) != root(int(b)) for a, b in zip(some.first, some.second, strict=True)]
            some = some.take(np.asarray(apart, dtype=bool))
        if not len(some):
            continue
        similarity = compare_moved(
            thumbnails, some.first, some.second, some.shift, correlation_of_interest=thresholds.correlation
        )
        alike = (similarity.correlation >= thresholds.correlation) & (similarity.detail >= thresholds.detail)
        for place in np.flatnonzero(alike):
            one, other = root(int(some.first[place])), root(int(some.second[place]))
            if one != other:
                own[max(one, other)] = min(one, other)
        kept.append(some.take(alike))
        correlations.append(similarity.correlation[alike])
        details.append(similarity.detail[alike])
    if not kept:
        return candidates.take(np.empty(0, dtype=np.int64)), np.empty(0), np.empty(0)
    together = Candidates(
        *(np.concatenate([getattr(each, name) for each in kept]) for name in ("first", "second", "shift", "distance"))
    )
    return together, np.concatenate(correlations), np.concatenate(details)


class Components:
    """Which of `size` things belong together, by the pairs that were joined.

    The pairs that joined two components form a spanning forest: as many as there are things less components,
    however many pairs there were.
    """

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size, dtype=np.int64)
        self._snapshot = self._parent.copy()

    def join(self, first: int, second: int) -> bool:
        """Put two things into one component; false when they were in one already."""
        one, other = self._root(first), self._root(second)
        if one == other:
            return False
        self._parent[max(one, other)] = min(one, other)
        return True

    def refresh(self) -> NDArray[np.int64]:
        """The smallest member of each thing's component, (size,); a new array that stays as it is."""
        roots = self._parent
        while True:
            next_roots = roots[roots]
            if np.array_equal(next_roots, roots):
                break
            roots = next_roots
        self._parent = roots.copy()
        self._snapshot = roots
        return roots

    @property
    def snapshot(self) -> NDArray[np.int64]:
        """What `refresh` gave last; other threads may read it at any time."""
        return self._snapshot

    def _root(self, thing: int) -> int:
        parent = self._parent
        root = thing
        while parent[root] != root:
            root = int(parent[root])
        while parent[thing] != root:
            parent[thing], thing = root, int(parent[thing])
        return root
