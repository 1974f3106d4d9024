"""Sums that clients share give the standardisation of all rows together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedforge_runtime.learning.sums import FeatureSums, Standardisation


@st.composite
def features(draw: st.DrawFn) -> NDArray[np.float32]:
    """Rows (2 to 60, 1 to 6) of the size that a backbone gives; each dimension has its own mean and spread."""
    rows, dimensions = draw(st.integers(2, 60)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    means = generator.uniform(-20, 20, dimensions)
    spreads = generator.uniform(0.1, 10, dimensions)
    return generator.normal(means, spreads, size=(rows, dimensions)).astype(np.float32)


@st.composite
def shares(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Rows, and the same rows cut into shares, some of them empty."""
    rows = draw(features())
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    return rows, np.split(rows, cuts)


@given(shares())
def test_any_split_gives_the_mean_and_deviation_of_all_rows(
    data: tuple[NDArray[np.float32], list[NDArray[np.float32]]],
) -> None:
    rows, parts = data

    standardisation = Standardisation.from_sums(FeatureSums.of(part) for part in parts)

    np.testing.assert_allclose(standardisation.mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(standardisation.scale, rows.std(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    assert standardisation.mean.dtype == standardisation.scale.dtype == np.float32


@given(data=shares(), classes=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_a_folded_head_on_raw_rows_equals_the_head_on_standardised_ones(
    data: tuple[NDArray[np.float32], list[NDArray[np.float32]]], classes: int, seed: int
) -> None:
    rows, parts = data
    generator = np.random.default_rng(seed)
    weight = generator.normal(0, 0.1, (classes, rows.shape[1])).astype(np.float32)
    bias = generator.normal(0, 0.1, classes).astype(np.float32)
    standardisation = Standardisation.from_sums(FeatureSums.of(part) for part in parts)

    folded_weight, folded_bias = standardisation.fold_into(weight, bias)

    standardised = (rows.astype(np.float64) - standardisation.mean) / standardisation.scale
    expected = standardised @ weight.astype(np.float64).T + bias
    folded = rows.astype(np.float64) @ folded_weight.astype(np.float64).T + folded_bias
    # What is left are the roundings of the folded head to float32, which grow with mean over scale.
    size = np.abs(rows).max() * np.abs(folded_weight).max() * rows.shape[1] + np.abs(folded_bias).max()
    np.testing.assert_allclose(folded, expected, atol=1e-5 * max(1.0, size / 10))
    assert folded_weight.dtype == folded_bias.dtype == np.float32


def test_a_folded_head_of_ordinary_features_is_within_a_hundred_thousandth() -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(0.3, 1.5, size=(200, 192)).astype(np.float32)
    weight = generator.normal(0, 0.02, (8, 192)).astype(np.float32)
    bias = generator.normal(0, 0.02, 8).astype(np.float32)
    standardisation = Standardisation.from_sums([FeatureSums.of(rows)])

    folded_weight, folded_bias = standardisation.fold_into(weight, bias)

    expected = (rows - standardisation.mean) / standardisation.scale @ weight.T + bias
    np.testing.assert_allclose(rows @ folded_weight.T + folded_bias, expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.25, -1e4, 0.1])
def test_a_constant_dimension_is_only_shifted(value: float) -> None:
    rows = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    rows[:, 1] = value

    standardisation = Standardisation.from_sums([FeatureSums.of(rows[:20]), FeatureSums.of(rows[20:])])

    assert standardisation.scale[1] == 1.0
    standardised = (rows - standardisation.mean) / standardisation.scale
    np.testing.assert_allclose(standardised[:, 1], 0.0, atol=1e-3)
    assert np.isfinite(standardised).all()


def test_a_single_row_is_shifted_to_nothing() -> None:
    row = np.array([[1.0, -2.0]], dtype=np.float32)

    standardisation = Standardisation.from_sums([FeatureSums.of(row)])

    np.testing.assert_array_equal((row - standardisation.mean) / standardisation.scale, [[0.0, 0.0]])


@pytest.mark.parametrize("parts", [[], [np.empty((0, 3), np.float32)]])
def test_without_a_row_there_is_nothing_to_standardise_by(parts: list[NDArray[np.float32]]) -> None:
    with pytest.raises(ValueError, match="no client has a row"):
        Standardisation.from_sums([FeatureSums.of(part) for part in parts])


def test_a_share_holds_sums_and_no_rows() -> None:
    sums = FeatureSums.of(np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32))

    assert sums.count == 2
    np.testing.assert_array_equal(sums.total, [4.0, -2.0])
    np.testing.assert_array_equal(sums.total_of_squares, [10.0, 20.0])
    assert sums.total.dtype == np.float64
