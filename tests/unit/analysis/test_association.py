"""Spearman's rank correlation, with a p-value that holds for few sites."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from fedforge_runtime.analysis import rank_correlation


@pytest.mark.parametrize("size", [5, 30])
def test_it_is_that_of_scipy_also_with_ties(size: int) -> None:
    draws = np.random.default_rng(3)
    one, other = draws.integers(0, 5, size).tolist(), draws.normal(size=size).tolist()

    found = rank_correlation(one, other)

    assert found.value == pytest.approx(spearmanr(one, other).statistic)
    assert found.pairs == size


def test_of_three_sites_no_order_is_rarer_than_one_in_three() -> None:
    found = rank_correlation([1, 2, 3], [30, 20, 10])

    assert found.value == pytest.approx(-1)
    assert found.p_value == pytest.approx(2 / 6)


def test_of_many_sites_the_p_value_is_near_that_of_scipy() -> None:
    draws = np.random.default_rng(5)
    one = draws.normal(size=60)
    other = one * 0.3 + draws.normal(size=60)

    found, theirs = rank_correlation(one.tolist(), other.tolist()), spearmanr(one, other)

    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    assert 0 < rank_correlation(one.tolist(), one.tolist()).p_value < 1e-3


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, math.nan], [1, 2, 3])])
def test_it_is_not_said_where_it_cannot_be(one: list[float], other: list[float]) -> None:
    found = rank_correlation(one, other)

    assert (found.value, found.p_value) == (None, None)
