"""Shares in proportion: how many rows each split and class gets, and which ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.errors import DataError
from fedforge_runtime.seeds import derive_seed

SplitName = TypeVar("SplitName", bound=str)

_SEED = 0  # Which images are used does not depend on the seed of a run.


def apportion(weights: Sequence[float], total: int, *, minimum: int = 0) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainders, giving each at least `minimum`.

    Args:
        weights: positive shares, of any sum.
        total: what the returned numbers add up to; at least `minimum * len(weights)`.
        minimum: who would get less gets this much, at the expense of the others in proportion.
    """
    if total < minimum * len(weights):
        raise ValueError(f"{total} cannot give {len(weights)} shares at least {minimum} each")
    shares = np.asarray(weights, dtype=np.float64)
    raised = np.zeros(len(shares), dtype=bool)
    while True:
        left = total - minimum * int(raised.sum())
        quotas = np.where(raised, 0.0, shares)
        quotas = quotas * (left / quotas.sum()) if not raised.all() else quotas
        short = ~raised & (quotas < minimum)
        if not short.any():
            break
        raised |= short
    counts = np.where(raised, minimum, np.floor(quotas)).astype(np.int64)
    remainders = np.where(raised, -1.0, quotas - np.floor(quotas))
    for index in np.argsort(-remainders, kind="stable")[: total - int(counts.sum())]:
        counts[index] += 1
    return [int(count) for count in counts]


def stratified_rows(labels: Mapping[SplitName, NDArray[np.int64]], limit: int) -> dict[SplitName, NDArray[np.int64]]:
    """At most `limit` rows, in proportion over splits and classes, and in their original order.

    Every class that a split holds keeps at least one row there. The choice depends on nothing but the labels
    and the limit.

    Args:
        labels: class ids by split, each of shape (rows,).

    Returns:
        Ascending row numbers by split.

    Raises:
        DataError: `limit` is smaller than the number of classes, summed over the splits that hold them.
    """
    if limit >= sum(len(split_labels) for split_labels in labels.values()):
        return {split: np.arange(len(split_labels), dtype=np.int64) for split, split_labels in labels.items()}
    strata = [
        (split, int(class_id), np.flatnonzero(split_labels == class_id))
        for split, split_labels in labels.items()
        for class_id in np.unique(split_labels)
    ]
    if limit < len(strata):
        raise DataError(
            f"dataset.limit is {limit}, but the splits hold {len(strata)} classes in all, "
            "and each keeps at least one image.",
            remedy=f"Use --set dataset.limit={len(strata)} or more.",
        )
    counts = apportion([len(rows) for _, _, rows in strata], limit, minimum=1)
    chosen: dict[SplitName, list[NDArray[np.int64]]] = {split: [] for split in labels}
    for (split, class_id, rows), count in zip(strata, counts, strict=True):
        random = np.random.RandomState(derive_seed(_SEED, "limit", split, class_id))
        chosen[split].append(random.permutation(rows)[:count])
    return {
        split: np.sort(np.concatenate(parts)).astype(np.int64) if parts else np.empty(0, dtype=np.int64)
        for split, parts in chosen.items()
    }
