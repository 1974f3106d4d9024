"""Shares in proportion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.data.stratification import apportion, stratified_rows
from fedforge_runtime.errors import DataError

weights = st.lists(st.integers(1, 1_000), min_size=1, max_size=12)
split_labels = st.lists(st.integers(0, 8), min_size=1, max_size=120).map(lambda ids: np.array(ids, np.int64))
labels_by_split = st.fixed_dictionaries({"train": split_labels, "validation": split_labels, "test": split_labels})


@given(weights, st.integers(0, 5), st.integers(0, 500))
def test_shares_add_up_and_none_is_below_the_minimum(shares: list[int], minimum: int, extra: int) -> None:
    total = minimum * len(shares) + extra
    counts = apportion(shares, total, minimum=minimum)
    assert sum(counts) == total
    assert min(counts) >= minimum


@given(weights, st.integers(0, 500))
def test_without_a_minimum_every_share_is_its_quota_rounded(shares: list[int], total: int) -> None:
    quotas = [share * total / sum(shares) for share in shares]
    for count, quota in zip(apportion(shares, total), quotas, strict=True):
        assert abs(count - quota) < 1


def test_a_total_below_the_minima_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot give 3 shares"):
        apportion([1, 1, 1], 5, minimum=2)


@given(labels_by_split, st.integers(27, 200))
def test_a_limit_keeps_every_class_and_never_more_rows(labels: dict[str, np.ndarray], limit: int) -> None:
    rows = stratified_rows(labels, limit)
    total = sum(len(ids) for ids in labels.values())
    assert sum(len(chosen) for chosen in rows.values()) == min(limit, total)
    for split, ids in labels.items():
        chosen = rows[split]
        assert np.all(np.diff(chosen) > 0)
        assert set(ids[chosen]) == set(ids)


@given(labels_by_split, st.integers(27, 200))
def test_a_limit_keeps_the_proportions_of_splits_and_classes(labels: dict[str, np.ndarray], limit: int) -> None:
    rows = stratified_rows(labels, limit)
    total = sum(len(ids) for ids in labels.values())
    strata = sum(len(set(ids)) for ids in labels.values())
    for split, ids in labels.items():
        for class_id in set(ids):
            quota = np.sum(ids == class_id) * min(1.0, limit / total)
            count = np.sum(ids[rows[split]] == class_id)
            # Below the quota only to pay for the small classes, above it only to be rounded or kept at all.
            assert quota - strata < count < quota + 1


@given(labels_by_split, st.integers(27, 200))
def test_the_same_labels_and_limit_give_the_same_rows(labels: dict[str, np.ndarray], limit: int) -> None:
    first, second = stratified_rows(labels, limit), stratified_rows(labels, limit)
    assert all(np.array_equal(first[split], second[split]) for split in labels)


def test_rows_are_spread_over_the_split() -> None:
    rows = stratified_rows({"train": np.zeros(1_000, np.int64)}, 100)["train"]
    assert rows.min() < 100
    assert rows.max() > 900


def test_a_limit_below_the_number_of_classes_is_refused_with_the_number() -> None:
    with pytest.raises(DataError, match=r"limit is 2.*3 classes.*limit=3"):
        stratified_rows({"train": np.array([0, 1, 2, 2])}, 2)
