"""Measures of skew, against values worked out by hand and the bounds that they must keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedforge_runtime.data.skew import effective_classes, gini, jensen_shannon_distance, measure_skew

CLASSES = 5
histograms = arrays(np.int64, CLASSES, elements=st.integers(0, 1000))
filled = histograms.filter(lambda counts: counts.sum() > 0)
site_tables = st.integers(1, 8).flatmap(lambda sites: arrays(np.int64, (sites, CLASSES), elements=st.integers(0, 500)))
tables = site_tables.filter(lambda counts: counts.sum() > 0)


def counts(*values: int) -> np.ndarray:
    return np.array(values)


def test_the_distance_of_known_histograms() -> None:
    assert jensen_shannon_distance(counts(3, 1), counts(30, 10)) == 0
    assert jensen_shannon_distance(counts(5, 0), counts(0, 9)) == 1
    # P = (1, 0), Q = (1/2, 1/2), M = (3/4, 1/4): JSD = (log2(4/3) + 1/2 log2(2/3) + 1/2 log2(2)) / 2
    expected = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5) / 2
    assert jensen_shannon_distance(counts(4, 0), counts(5, 5)) == pytest.approx(np.sqrt(expected))


def test_a_histogram_without_rows_is_as_far_as_can_be() -> None:
    assert jensen_shannon_distance(counts(0, 0), counts(1, 1)) == 1
    assert jensen_shannon_distance(counts(0, 0), counts(0, 0)) == 0


def test_the_effective_number_of_classes_of_known_histograms() -> None:
    assert effective_classes(counts(7, 7, 7, 7)) == pytest.approx(4)
    assert effective_classes(counts(0, 12, 0)) == pytest.approx(1)
    assert effective_classes(counts(3, 1)) == pytest.approx(4 / 3**0.75)  # exp(ln 4 - 3/4 ln 3)
    assert effective_classes(counts(0, 0)) == 0


def test_the_gini_coefficient_of_known_sizes() -> None:
    assert gini(counts(9, 9, 9)) == pytest.approx(0)
    assert gini(counts(0, 0, 0, 8)) == pytest.approx(3 / 4)
    assert gini(counts(1, 2, 3, 4)) == pytest.approx(1 / 4)
    assert gini(counts(4, 1, 3, 2)) == pytest.approx(1 / 4)
    assert gini(counts(0, 0)) == 0


@given(filled, filled, filled)
def test_the_distance_is_a_metric_in_zero_to_one(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> None:
    direct = jensen_shannon_distance(one, two)
    assert 0 <= direct <= 1
    assert direct == pytest.approx(jensen_shannon_distance(two, one))
    assert jensen_shannon_distance(one, one) == pytest.approx(0, abs=1e-7)
    assert direct <= jensen_shannon_distance(one, three) + jensen_shannon_distance(three, two) + 1e-9


@given(filled, st.integers(1, 50))
def test_measures_do_not_depend_on_scale_or_order(one: np.ndarray, scale: int) -> None:
    assert effective_classes(one * scale) == pytest.approx(effective_classes(one))
    assert effective_classes(one[::-1]) == pytest.approx(effective_classes(one))
    assert gini(one * scale) == pytest.approx(gini(one), abs=1e-12)
    assert jensen_shannon_distance(one, one * scale) == pytest.approx(0, abs=1e-6)


@given(tables)
def test_every_measure_keeps_its_bounds_and_counts_every_row(table: np.ndarray) -> None:
    skew = measure_skew(table)
    assert 0 <= skew.size_gini <= 1 - 1 / len(table) + 1e-9
    assert 1 <= skew.effective_classes <= CLASSES + 1e-9
    assert skew.class_rows == tuple(table.sum(axis=0).tolist())
    assert sum(site.rows for site in skew.sites) == table.sum()
    for site, row in zip(skew.sites, table, strict=True):
        held = np.count_nonzero(row)
        assert 0 <= site.distance <= 1
        assert min(held, 1) - 1e-9 <= site.effective_classes <= held + 1e-9
        assert len(site.missing_classes) == np.count_nonzero(table.sum(axis=0)) - held
        assert all(row[code] == 0 for code in site.missing_classes)
    assert min(site.distance for site in skew.sites) <= skew.mean_distance + 1e-9
    assert skew.mean_distance <= skew.farthest.distance + 1e-9
    assert json.loads(json.dumps(skew.to_json(list("abcde"))))["clients"][0]["class_rows"] == table[0].tolist()


def test_a_class_that_nobody_holds_is_missing_nowhere() -> None:
    skew = measure_skew(np.array([[5, 0, 0], [3, 4, 0]]))
    assert [site.missing_classes for site in skew.sites] == [(1,), ()]


@pytest.mark.parametrize("table", [np.zeros((2, 3), dtype=int), np.zeros(3, dtype=int), np.array([[-1, 3]])])
def test_counts_that_are_none_are_refused(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows by site and class"):
        measure_skew(table)
