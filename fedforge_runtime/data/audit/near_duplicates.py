"""Near duplicates: the same picture brightened, moved by a pixel or two, or saved anew.

Hashes propose pairs, pixels confirm them. All pairs are looked at; what is kept is one pair for every image that
joins a group, so that data made of copies does not fill the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.similarity import compare_moved, perceptual_hashes, search_block
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

    def take(self, places: NDArray[np.bool_]) -> Edges:
        """Some of them."""
        return Edges(*(values[places] for values in vars(self).values()))

    @classmethod
    def together(cls, parts: Iterable[Edges]) -> Edges:
        """Those of all parts, of which there may be none."""
        rows, numbers = np.empty(0, dtype=np.int64), np.empty(0)
        none = cls(rows, rows, rows, numbers, numbers, numbers)
        columns = zip(*(vars(part).values() for part in (none, *parts)), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


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
    found: list[Edges] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="near-duplicates") as pool:
        waiting: deque[Future[Edges]] = deque()

        def collect() -> None:
            pairs = waiting.popleft().result()
            joined = [components.join(int(a), int(b)) for a, b in zip(pairs.first, pairs.second, strict=True)]
            if any(joined):
                components.refresh()
                found.append(pairs.take(np.asarray(joined)))

        for start in range(0, len(thumbnails), _ROWS_A_TASK):
            rows = range(start, min(start + _ROWS_A_TASK, len(thumbnails)))
            waiting.append(pool.submit(_search, thumbnails, hashes, rows, components, thresholds))
            if len(waiting) >= threads + _TASKS_AHEAD:
                collect()
        while waiting:
            collect()
    return Edges.together(found)


def _search(
    thumbnails: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    rows: range,
    components: Components,
    thresholds: Thresholds,
) -> Edges:
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

    kept: list[Edges] = []
    for start in range(0, len(candidates), _VERIFIED_AT_ONCE):
        some = candidates.take(slice(start, start + _VERIFIED_AT_ONCE))
        if own:
            apart = [root(int(a)) != root(int(b)) for a, b in zip(some.first, some.second, strict=True)]
            some = some.take(np.asarray(apart, dtype=bool))
        correlation, detail = compare_moved(
            thumbnails, some.first, some.second, some.shift, correlation_of_interest=thresholds.correlation
        )
        alike = (correlation >= thresholds.correlation) & (detail >= thresholds.detail)
        for place in np.flatnonzero(alike):
            one, other = root(int(some.first[place])), root(int(some.second[place]))
            if one != other:
                own[max(one, other)] = min(one, other)
        compared = Edges(some.first, some.second, some.distance, np.full(len(some), np.nan), correlation, detail)
        kept.append(compared.take(alike))
    return Edges.together(kept)


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
        while not np.array_equal(roots[roots], roots):
            roots = roots[roots]
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
