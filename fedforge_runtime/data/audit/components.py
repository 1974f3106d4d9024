"""Connected components that grow edge by edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
