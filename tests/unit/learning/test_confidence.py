"""Intervals come from weighted scores that equal the scores of drawn rows, and behave as intervals must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.learning.scores import bootstrap, weighted_scores
from fedforge_runtime.learning.training import classification_metrics

seeds = st.integers(0, 2**31)


def _answers(seed: int, rows: int, classes: int, *, coarse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels; coarse logits have many ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1
    return (np.round(logits) if coarse else logits).astype(np.float32), labels


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_a_weighted_score_is_the_score_of_the_repeated_rows(seed: int, rows: int, classes: int, coarse: bool) -> None:
    logits, labels = _answers(seed, rows, classes, coarse=coarse)
    weights = np.random.default_rng(seed + 1).integers(0, 4, size=(rows, 3))
    weights[0] += 1  # at least one row in every draw
    scores = weighted_scores(logits, labels, weights)
    for draw in range(3):
        drawn = np.repeat(np.arange(rows), weights[:, draw])
        expected = classification_metrics(logits[drawn], labels[drawn])
        for name, value in expected.items():
            assert scores[name][draw] == pytest.approx(value, abs=1e-9)
        assert ("auc" in expected) == np.isfinite(scores["auc"][draw])
        predicted = logits[drawn].argmax(axis=1)
        for each in range(classes):
            of_class = labels[drawn] == each
            found = (predicted[of_class] == each).mean() if of_class.any() else np.nan
            spared = (predicted[~of_class] != each).mean() if not of_class.all() else np.nan
            assert scores["sensitivity"][each, draw] == pytest.approx(found, nan_ok=True)
            assert scores["specificity"][each, draw] == pytest.approx(spared, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 60), st.integers(2, 5), st.floats(0.5, 0.99))
def test_values_are_those_of_the_metrics_and_intervals_are_ordered(
    seed: int, rows: int, classes: int, level: float
) -> None:
    logits, labels = _answers(seed, rows, classes)
    confidence = bootstrap(logits, labels, seed=seed, resamples=50, level=level)
    expected = classification_metrics(logits, labels)
    assert {name: each.value for name, each in confidence.metrics.items()} == pytest.approx(expected)
    of_classes = [each for one in confidence.classes for each in (one.sensitivity, one.specificity) if each]
    for each in [*confidence.metrics.values(), *of_classes]:
        assert each.low <= each.high
    for each in of_classes:
        assert 0 <= each.low <= each.high <= 1
    assert sum(one.rows for one in confidence.classes) == rows


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    logits, labels = _answers(3, 200, 4)
    first, again, other = (bootstrap(logits, labels, seed=seed, resamples=100) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_interval_of_accuracy_is_that_of_a_proportion() -> None:
    logits, labels = _answers(0, 2000, 3)
    accuracy = bootstrap(logits, labels, seed=0).metrics["accuracy"]
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 2000)
    assert accuracy.low == pytest.approx(accuracy.value - half, abs=0.2 * half)
    assert accuracy.high == pytest.approx(accuracy.value + half, abs=0.2 * half)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    truth = weighted_scores(*_answers(0, 200_000, 2), np.ones((200_000, 1)))["accuracy"][0]
    intervals = [
        bootstrap(*_answers(seed, 150, 2), seed=seed, resamples=200).metrics["accuracy"] for seed in range(200)
    ]
    held = sum(each.low <= truth <= each.high for each in intervals)
    assert 178 <= held <= 200


def test_more_rows_give_narrower_intervals() -> None:
    widths = []
    for rows in (100, 400, 1600):
        interval = bootstrap(*_answers(5, rows, 3), seed=1).metrics["balanced_accuracy"]
        widths.append(interval.high - interval.low)
    assert widths[0] > widths[1] > widths[2]


def test_a_class_without_rows_has_no_sensitivity() -> None:
    logits, labels = _answers(1, 80, 3)
    confidence = bootstrap(logits, np.where(labels == 2, 0, labels), seed=0, resamples=50)
    assert confidence.classes[2].sensitivity is None
    assert confidence.classes[2].specificity is not None
    assert confidence.classes[2].rows == 0


def test_a_single_class_has_no_auc_and_no_specificity() -> None:
    confidence = bootstrap(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), seed=0, resamples=20)
    assert "auc" not in confidence.metrics
    assert confidence.classes[0].specificity is None
    assert confidence.metrics["accuracy"].value == 0.5


@pytest.mark.parametrize(
    ("shape", "labels", "options"),
    [
        ((0, 3), [], {}),
        ((4,), [0, 0, 0, 0], {}),
        ((4, 2), [0, 1], {}),
        ((2, 2), [0, 1], {"resamples": 0}),
        ((2, 2), [0, 1], {"level": 1.0}),
    ],
)
def test_what_makes_no_sense_is_refused(shape: tuple[int, ...], labels: list[int], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="are needed, not"):
        bootstrap(np.zeros(shape), np.array(labels, dtype=int), seed=0, **options)  # type: ignore[arg-type]
