"""Classification scores of rows that count more or less: the arithmetic of every metric and interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
