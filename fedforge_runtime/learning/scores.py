"""Classification scores of rows that count more or less, and how far they may be off because the rows are a sample.

Weighted scores are the arithmetic of every metric. Intervals are of the percentile bootstrap over rows (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): the test rows are drawn again with replacement, the
scores are computed on each draw, and the middle part of what comes out is the interval. A draw is a multinomial count
for every row, so that all draws are weighted sums.

An interval says nothing about other hospitals, scanners or patients: only about rows like the test rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.learning.predictions import Predictions
from fedforge_runtime.seeds import derive_seed

Floats = NDArray[np.float64]


def weighted_scores(
    logits: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.floating]
) -> dict[str, Floats]:
    """Every score when each row counts as often as its weight says, for many weightings at once.

    Args:
        logits: (rows, classes).
        labels: class ids (rows,).
        weights: (rows, draws), at least 0.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_f1`, `auc` and `loss`, (draws,) each, and `sensitivity` and
        `specificity`, (classes, draws) each. NaN where a score is not defined.
    """
    sample = Sample(np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64))
    return sample.scores(np.asarray(weights, dtype=np.float64))


class Sample:
    """The rows, made ready for being weighted again and again."""

    def __init__(self, logits: Floats, labels: NDArray[np.int64]) -> None:
        rows, classes = logits.shape
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._losses = -log_probabilities[np.arange(rows), labels]
        self._cells = np.zeros((classes * classes, rows))
        self._cells[labels * classes + logits.argmax(axis=1), np.arange(rows)] = 1.0
        self._classes = classes
        self._rankings = [_Ranking(np.exp(log_probabilities[:, each]), labels == each) for each in range(classes)]

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """Every score under each of the weights (rows, draws): (draws,), or (classes, draws) where it is per class."""
        total = weights.sum(axis=0)
        confusion = (self._cells @ weights).reshape(self._classes, self._classes, -1)
        hits = np.einsum("ccd->cd", confusion)
        true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
        present = true > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity = hits / true
            specificity = 1 - (predicted - hits) / (total - true)
            f1 = 2 * hits / (true + predicted)
            areas = np.stack([each.areas(weights) for each in self._rankings])
        return {
            "accuracy": hits.sum(axis=0) / total,
            "balanced_accuracy": _mean_where(present, sensitivity),
            "macro_f1": _mean_where(present, f1),
            "auc": _mean_where(np.isfinite(areas), areas),
            "loss": np.einsum("r,rd->d", self._losses, weights) / total,  # in one order, whatever the number of threads
            "sensitivity": sensitivity,
            "specificity": specificity,
        }


class _Ranking:
    """One class's probability over all rows, in ascending order, for the area under its ROC curve."""

    def __init__(self, probabilities: Floats, positive: NDArray[np.bool_]) -> None:
        order = np.argsort(probabilities, kind="stable")
        ordered = probabilities[order]
        where = order[positive[order]]
        self._order = order
        self._negative = (~positive[order]).astype(np.float64)[:, None]
        self._positive = where
        self._smaller = np.searchsorted(ordered, probabilities[where], side="left")
        """How many rows have a smaller probability, for each positive row."""
        self._not_greater = np.searchsorted(ordered, probabilities[where], side="right")

    def areas(self, weights: Floats) -> Floats:
        """The part of pairs of a positive and a negative row that are ranked right, ties half: (draws,)."""
        below = np.zeros((len(weights) + 1, weights.shape[1]))
        np.cumsum(weights[self._order] * self._negative, axis=0, out=below[1:])
        positive = weights[self._positive]
        right = np.einsum("rd,rd->d", positive, below[self._smaller] + below[self._not_greater]) / 2
        return np.asarray(right / (positive.sum(axis=0) * below[-1]))


def _mean_where(wanted: NDArray[np.bool_], values: Floats) -> Floats:
    """The mean over the wanted classes (first axis), NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(wanted, values, 0.0).sum(axis=0) / wanted.sum(axis=0))


RESAMPLES = 1000
LEVEL = 0.95
_CELLS_AT_ONCE = 500_000
"""Draws times rows that are held in memory together."""


@dataclass(frozen=True)
class Interval:
    """A score and the interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassConfidence:
    """How well one class is told from all others. `None` where no row can say."""

    rows: int
    """Of the class, in the test split."""
    sensitivity: Interval | None
    """Part of the class's rows that are found (recall)."""
    specificity: Interval | None
    """Part of the other rows that are not taken for this class."""


@dataclass(frozen=True)
class Confidence:
    """Scores with their intervals."""

    metrics: Mapping[str, Interval]
    """By the names of `metric_names.METRIC_NAMES`; without `auc` when there is only one class."""
    classes: tuple[ClassConfidence, ...]
    """By class id."""
    rows: int
    resamples: int
    level: float


def bootstrap(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Confidence:
    """Scores on all rows and the percentile intervals of their bootstrap; the same arguments give the same bits.

    A draw in which a score is not defined, for example the sensitivity of a class of which it holds no row, is
    left out of that score's interval.

    Args:
        logits: (rows, classes).
        labels: class ids (rows,).
        seed: decides the draws.
        level: the part of the draws that an interval holds, between 0 and 1.

    Raises:
        ValueError: no rows, or a shape, number of draws or level that makes no sense.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"logits (rows, classes) and labels (rows,) are needed, not {logits.shape} and {labels.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"at least one draw and a level between 0 and 1 are needed, not {resamples} and {level}")
    sample = Sample(np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64))
    draws = [sample.scores(weights) for weights in _draws(len(labels), resamples, seed)]
    point = {name: values.reshape(-1, 1) for name, values in sample.scores(np.ones((len(labels), 1))).items()}
    drawn = {name: np.atleast_2d(np.concatenate([each[name] for each in draws], axis=-1)) for name in point}
    tails = (50 * (1 - level), 50 * (1 + level))

    def interval(name: str, row: int = 0) -> Interval | None:
        value, values = point[name][row, 0], drawn[name][row]
        values = values[np.isfinite(values)]
        if not np.isfinite(value) or not len(values):
            return None
        low, high = np.percentile(values, tails)
        return Interval(float(value), float(low), float(high))

    named = {name: interval(name) for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss")}
    return Confidence(
        metrics={name: value for name, value in named.items() if value},
        classes=tuple(
            ClassConfidence(
                rows=int((labels == each).sum()),
                sensitivity=interval("sensitivity", each),
                specificity=interval("specificity", each),
            )
            for each in range(logits.shape[1])
        ),
        rows=len(labels),
        resamples=resamples,
        level=level,
    )


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn: blocks of (rows, draws), every draw summing to `rows`."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, rows, size=(count, rows)) * count + np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def bootstrap_seed(seed: int) -> int:
    """Of the draws behind the intervals of a run with this seed: the same in its events and in its report."""
    return derive_seed(seed, "report", "bootstrap")


def evaluation_of(predictions: Predictions, class_names: Sequence[str], seed: int) -> dict[str, Any]:
    """The fields of `RunEvaluated` but the model's: as the report has them; takes a second or two, so for a worker.

    Args:
        class_names: by class id.
        seed: of the bootstrap.
    """
    confidence = bootstrap(predictions.logits, predictions.labels, seed=seed)
    return {
        "metrics": {name: interval.value for name, interval in confidence.metrics.items()},
        "rows": confidence.rows,
        "intervals": {name: {"low": each.low, "high": each.high} for name, each in confidence.metrics.items()},
        "level": confidence.level,
        "resamples": confidence.resamples,
        "classes": [{"name": name, **asdict(each)} for name, each in zip(class_names, confidence.classes, strict=True)],
        "confusion": predictions.confusion_matrix().tolist(),
    }
