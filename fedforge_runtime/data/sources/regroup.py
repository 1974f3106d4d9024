"""New splits that keep groups together and classes in proportion.

Stratified group assignment: which groups go to which split is a multi-way partition problem, which a greedy pass
(largest groups first, each to the split where it leaves the proportions nearest to what is asked) solves well when
most groups are small, as patients and lesions are; an exchange pass then moves single groups while that helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.seeds import derive_seed

_MOST_PASSES = 20
_IMPROVEMENT = 1e-12


@dataclass(frozen=True)
class Regrouping:
    """Which split every row goes to."""

    split_of_rows: NDArray[np.int64]
    """(rows,)."""
    class_rows: NDArray[np.int64]
    """(splits, classes): what each split got."""
    wanted: NDArray[np.float64]
    """(splits, classes): what it should have got, were rows divisible."""

    @property
    def largest_deviation(self) -> float:
        """The largest difference to what was asked, as a part of a class's rows, over all splits and classes."""
        return float(np.abs((self.class_rows - self.wanted) / np.maximum(self.class_rows.sum(axis=0), 1)).max())


def regroup(
    groups: NDArray[np.int64], labels: NDArray[np.int64], fractions: Sequence[float], *, classes: int, seed: int
) -> Regrouping:
    """Assign whole groups to splits.

    The same arguments give the same result. What is made small is the sum over splits and classes of the squared
    difference to the wanted rows, relative to the class's rows and the split's fraction, so that a rare class counts
    as much as a frequent one, and a small split as much as a large one.

    Args:
        groups: group numbers, (rows,).
        labels: class ids below `classes`, (rows,).
        fractions: of the splits, positive, of sum 1.
        seed: breaks ties between groups of the same size.

    Raises:
        ConfigError: the fractions are no fractions.
        DataError: there are fewer groups than splits.
    """
    shares = check_fractions(fractions)
    names, group_of_rows = np.unique(groups, return_inverse=True)
    number = len(names)
    if number < len(shares):
        raise DataError(
            f"{number} groups cannot fill {len(shares)} splits.",
            remedy="Give the rows finer groups, for example lesions.",
        )
    content = np.zeros((number, classes), dtype=np.int64)
    np.add.at(content, (group_of_rows, labels), 1)
    totals = content.sum(axis=0)
    wanted = np.outer(shares, totals)
    weight = 1 / np.maximum(wanted, 1e-9) / np.maximum(totals, 1)
    order = np.random.RandomState(derive_seed(seed, "regroup")).permutation(number)
    rarity = (content / np.maximum(totals, 1)).max(axis=1)
    order = order[np.argsort(-rarity[order], kind="stable")]
    split_of_group = np.empty(number, dtype=np.int64)
    split_of_group[order] = _assign(content[order], wanted, weight)
    _fill_empty(split_of_group, content, len(shares))
    split_of_rows = split_of_group[group_of_rows]
    got = np.zeros((len(shares), classes), dtype=np.int64)
    np.add.at(got, (split_of_rows, labels), 1)
    return Regrouping(split_of_rows, got, wanted)


def check_fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    """The fractions as an array.

    Raises:
        ConfigError: one is not positive, or they do not add up to 1.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if not np.isfinite(shares).all() or (shares <= 0).any() or abs(float(shares.sum()) - 1) > 1e-6:
        raise ConfigError(
            f"the fractions {', '.join(f'{share:g}' for share in shares)} are not positive numbers of sum 1.",
            remedy="Write --fractions 0.7,0.1,0.2 for training, validation and test.",
        )
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised


def _assign(content: NDArray[np.int64], wanted: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each group in turn to the split that it helps most; then single ones move while the whole gets nearer to it."""
    got = np.zeros_like(wanted)
    assigned = np.empty(len(content), dtype=np.int64)
    for place, rows in enumerate(content):
        split = int(_costs(got, rows, wanted, weight).argmin())
        assigned[place] = split
        got[split] += rows
    for _ in range(_MOST_PASSES):
        moved = False
        for place, rows in enumerate(content):
            here = assigned[place]
            got[here] -= rows
            costs = _costs(got, rows, wanted, weight)
            there = int(costs.argmin())
            if costs[there] < costs[here] - _IMPROVEMENT:
                assigned[place] = there
                moved = True
            got[assigned[place]] += rows
        if not moved:
            break
    return assigned


def _costs(
    got: NDArray[np.float64], rows: NDArray[np.int64], wanted: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What it adds to the deviation to put `rows` into each split, (splits,)."""
    cost: NDArray[np.float64] = (weight * (rows * rows - 2 * rows * (wanted - got))).sum(axis=1)
    return cost


def _fill_empty(split_of_group: NDArray[np.int64], content: NDArray[np.int64], splits: int) -> None:
    """Give a split that got nothing the smallest group of the split with most groups."""
    sizes = content.sum(axis=1)
    for split in range(splits):
        if not (split_of_group == split).any():
            donor = int(np.bincount(split_of_group, minlength=splits).argmax())
            candidates = np.flatnonzero(split_of_group == donor)
            split_of_group[candidates[sizes[candidates].argmin()]] = split
