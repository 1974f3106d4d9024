"""Whether two figures of sites go together, and how surely that is no accident of a few sites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pandas as pd

_MOST_EXACT = 8
"""Sites whose orders are all tried: 40,320."""
_DRAWS = 20_000
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two figures.

    Args:
        value: from -1 to 1; `None` where fewer than three pairs are given or one figure is the same for all.
        p_value: how often it is at least as far from 0 when one figure is shuffled (two-sided).
        pairs: that were compared.
    """

    value: float | None
    p_value: float | None
    pairs: int


def rank_correlation(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> RankCorrelation:
    """Spearman's rank correlation with the p-value of a permutation test, which holds for few pairs as well.

    Up to 8 pairs all orders are tried, else 20,000 that are drawn. Pairs of which one value is missing are left out.

    Source: Spearman, "The proof and measurement of association between two things", Am. J. Psychol. 15 (1904).

    Args:
        first, second: of the same length.
        seed: of the draws.
    """
    both = np.array([pair for pair in zip(first, second, strict=True) if not any(map(math.isnan, pair))], dtype=float)
    if len(both) < 3 or np.ptp(both, axis=0).min() == 0:
        return RankCorrelation(None, None, len(both))
    ranks = pd.DataFrame(both).rank().to_numpy()  # equal values at their mean rank
    centred = ranks - ranks.mean(axis=0)
    one, other = (centred / np.linalg.norm(centred, axis=0)).T
    value = float(one @ other)
    drawn = len(both) > _MOST_EXACT
    shuffled = np.array([one @ other[order] for order in _orders(len(both), seed)])
    as_far = np.abs(shuffled) >= abs(value) - _TOLERANCE
    return RankCorrelation(value, float((as_far.sum() + drawn) / (len(shuffled) + drawn)), len(both))


def _orders(count: int, seed: int) -> npt.NDArray[np.int64]:
    if count <= _MOST_EXACT:
        return np.array(list(permutations(range(count))))
    return np.random.default_rng(seed).permuted(np.tile(np.arange(count), (_DRAWS, 1)), axis=1)
