"""How far a score may be off because the test rows are a sample: bootstrap intervals.

The percentile bootstrap over rows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13):
the test rows are drawn again with replacement, the scores are computed on each draw, and the middle part of what
comes out is the interval. A draw is a multinomial count for every row, so that all draws are weighted sums.

An interval says nothing about other hospitals, scanners or patients: only about rows like the test rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.learning.predictions import Predictions
from fedforge_runtime.learning.scores import Floats, Sample
from fedforge_runtime.seeds import derive_seed

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
