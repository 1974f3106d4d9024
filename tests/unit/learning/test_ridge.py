"""The sums that sites share give the ridge head of all rows together, however the rows are spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums, Standardisation


@dataclass(frozen=True)
class SpreadRows:
    """Rows of several sites."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    sites: list[NDArray[np.int64]]
    """Rows of each site, the sites in the order in which they answer; some may be empty."""

    def shares(self) -> list[FeatureMoments]:
        return [FeatureMoments.of(self.features[rows], self.labels[rows], self.classes) for rows in self.sites]


@st.composite
def spread_rows(draw: st.DrawFn) -> SpreadRows:
    """Rows (2 to 80, 1 to 8) of the size that a backbone gives, of up to 5 classes, over up to 6 sites."""
    rows, dimensions, classes = draw(st.integers(2, 80)), draw(st.integers(1, 8)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    means, spreads = generator.uniform(-5, 5, dimensions), generator.uniform(0.2, 3, dimensions)
    features = generator.normal(means, spreads, size=(rows, dimensions)).astype(np.float32)
    site_of_row = generator.integers(0, draw(st.integers(1, 6)), rows)
    order = generator.permutation(6)
    sites = [generator.permutation(np.flatnonzero(site_of_row == site)) for site in order]
    return SpreadRows(features, generator.integers(0, classes, rows), classes, sites)


def centralized_ridge(
    features: NDArray[np.float64], labels: NDArray[np.int64], classes: int, regularisation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (classes, dimensions) and biases of the ridge head, by least squares on the rows themselves."""
    rows, dimensions = features.shape
    design = np.hstack([features, np.ones((rows, 1))]) / np.sqrt(rows)
    penalty = np.sqrt(regularisation) * np.eye(dimensions, dimensions + 1)
    wanted = np.vstack([np.eye(classes)[labels] / np.sqrt(rows), np.zeros((dimensions, classes))])
    solution, *_ = np.linalg.lstsq(np.vstack([design, penalty]), wanted, rcond=None)
    return solution[:-1].T, solution[-1]


@given(data=spread_rows(), regularisation=st.sampled_from([1e-3, 3e-3, 0.1, 1.0]))
def test_any_partition_in_any_order_gives_the_centralized_head(data: SpreadRows, regularisation: float) -> None:
    total = FeatureMoments.total(data.shares())
    standardisation = Standardisation.from_sums([total.sums])

    head = total.standardised(standardisation).solve(regularisation, temperature=1.0)

    standardised = (data.features.astype(np.float64) - standardisation.mean) / standardisation.scale
    weight, bias = centralized_ridge(standardised, data.labels, data.classes, regularisation)
    np.testing.assert_allclose(head["classifier.weight"], weight, rtol=0, atol=1e-6)
    np.testing.assert_allclose(head["classifier.bias"], bias, rtol=0, atol=1e-6)
    assert {value.dtype for value in head.values()} == {np.dtype(np.float32)}


@given(spread_rows())
def test_the_moments_contain_the_sums_of_the_standardisation(data: SpreadRows) -> None:
    sums, expected = FeatureMoments.total(data.shares()).sums, FeatureSums.of(data.features)

    assert sums.count == expected.count
    np.testing.assert_allclose(sums.total, expected.total, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums.total_of_squares, expected.total_of_squares, rtol=1e-9, atol=1e-9)


@given(spread_rows())
def test_standardised_moments_are_the_moments_of_standardised_rows(data: SpreadRows) -> None:
    moments = FeatureMoments.of(data.features, data.labels, data.classes)
    standardisation = Standardisation.from_sums([moments.sums])

    standardised = moments.standardised(standardisation)

    rows = (data.features.astype(np.float64) - standardisation.mean) / standardisation.scale
    expected = FeatureMoments.of(rows, data.labels, data.classes)
    np.testing.assert_allclose(standardised.gram, expected.gram, rtol=0, atol=1e-6)
    np.testing.assert_allclose(standardised.targets, expected.targets, rtol=0, atol=1e-6)
    assert moments.standardised(None) is moments


@pytest.fixture(scope="module")
def blobs() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """10,000 rows (10,000, 4) of three classes that a line parts well."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 10_000)
    centres = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    return (generator.normal(size=(10_000, 4)) + centres[labels]).astype(np.float32), labels


def test_blocks_of_rows_add_up(blobs: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    features, labels = blobs

    moments = FeatureMoments.of(features, labels, 3)

    augmented = np.hstack([features.astype(np.float64), np.ones((len(features), 1))])
    np.testing.assert_allclose(moments.gram, augmented.T @ augmented, rtol=1e-10)
    np.testing.assert_allclose(moments.targets, augmented.T @ np.eye(3)[labels], rtol=1e-10)
    assert moments.count == len(features)


def test_the_head_tells_classes_apart_and_the_temperature_does_not_change_which(
    blobs: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    features, labels = blobs
    moments = FeatureMoments.of(features, labels, 3)

    warm, cold = moments.solve(temperature=1.0), moments.solve(temperature=0.1)

    logits = [features @ head["classifier.weight"].T + head["classifier.bias"] for head in (warm, cold)]
    assert (logits[0].argmax(axis=1) == labels).mean() > 0.85
    np.testing.assert_allclose(logits[1], logits[0] * 10, rtol=1e-3, atol=1e-3)


def test_the_bias_is_not_regularised(blobs: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    features, labels = blobs

    head = FeatureMoments.of(features, labels, 3).solve(1e9, temperature=1.0)

    np.testing.assert_allclose(head["classifier.weight"], 0.0, atol=1e-6)
    np.testing.assert_allclose(head["classifier.bias"], np.bincount(labels) / len(labels), rtol=1e-5)


def test_the_regularisation_means_the_same_for_few_rows_and_for_many(
    blobs: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    moments = FeatureMoments.of(*blobs, 3)

    np.testing.assert_allclose(
        (moments + moments).solve(0.1)["classifier.weight"], moments.solve(0.1)["classifier.weight"], rtol=1e-5
    )


def test_a_class_that_nobody_has_and_a_constant_dimension_get_nothing() -> None:
    features = np.array([[1.0, 5.0], [-1.0, 5.0], [2.0, 5.0], [-2.0, 5.0]], dtype=np.float32)
    moments = FeatureMoments.of(features, np.array([0, 1, 0, 1]), 3)
    standardisation = Standardisation.from_sums([moments.sums])

    head = moments.standardised(standardisation).solve()

    np.testing.assert_allclose(head["classifier.weight"][2], 0.0, atol=1e-6)
    np.testing.assert_allclose(head["classifier.bias"][2], 0.0, atol=1e-6)
    np.testing.assert_allclose(head["classifier.weight"][:, 1], 0.0, atol=1e-6)


@pytest.mark.parametrize(("regularisation", "temperature"), [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.0), (float("nan"), 1.0)])
def test_a_factor_that_is_not_above_zero_is_refused(regularisation: float, temperature: float) -> None:
    moments = FeatureMoments.of(np.ones((2, 1), dtype=np.float32), np.array([0, 1]), 2)

    with pytest.raises(ValueError, match="must be above 0"):
        moments.solve(regularisation, temperature)


def test_without_a_row_there_is_nothing_to_fit() -> None:
    moments = FeatureMoments.of(np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.int64), 2)

    with pytest.raises(ValueError, match="no row to fit"):
        moments.solve()
