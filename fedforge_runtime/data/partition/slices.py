"""A client's training and validation rows, drawn apart; and the proof that no row is lost or held twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedforge_runtime.errors import DataError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClientRows:
    """One client's rows of the dataset's training split.

    Attributes:
        train: ascending row numbers (int64) that the client trains on; at least one.
        validation: ascending row numbers (int64) that it evaluates on; at least one, none of them in `train`.
    """

    train: Integers
    validation: Integers


def hold_out(rows: Integers, labels: npt.NDArray[Any], fraction: float, seed: int) -> ClientRows:
    """Draw a validation slice, stratified by largest remainders.

    Of the remainders, those that would leave a class without a training row come last.
    """
    generator = np.random.default_rng(seed)
    wanted = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = wanted * sizes / len(rows)
    taken = np.floor(quotas).astype(np.int64)
    takes_last_row = taken + 1 >= sizes
    tie_break = generator.permutation(len(sizes))
    by_claim = np.lexsort((tie_break, taken - quotas, takes_last_row))
    taken[by_claim[: wanted - taken.sum()]] += 1
    validation = np.zeros(len(rows), dtype=bool)
    for code, count in enumerate(taken):
        validation[generator.permutation(np.flatnonzero(codes == code))[:count]] = True
    return ClientRows(train=rows[~validation], validation=rows[validation])


def prove_coverage(clients: Sequence[ClientRows], rows: int) -> None:
    """Raise `DataError` unless the slices list 0 … rows - 1 exactly once and none is empty."""
    slices = [part for client in clients for part in (client.train, client.validation)]
    times = np.bincount(np.concatenate(slices), minlength=rows)
    if len(times) != rows or (times != 1).any() or not all(len(part) for part in slices):
        empty = sum(not len(part) for part in slices)
        raise DataError(
            f"the partition is broken: of {rows} rows, {np.count_nonzero(times == 0)} have no client and "
            f"{np.count_nonzero(times > 1)} have several; {empty} slices are empty.",
            remedy="Please report this with the configuration; another partition may work.",
        )
