"""The final model on the test split, by class, and between its bounds: each client alone, and all rows in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.predictions import Predictions
from fedforge_runtime.learning.scores import Confidence, bootstrap
from fedforge_runtime.record.comparison import FEDERATED, Bounds, Scores, compare_with_bounds
from fedforge_runtime.reporting.charts import bar_chart, heat_map
from fedforge_runtime.reporting.page import ABSENT, Figure, Table, interval, metric, score
from fedforge_runtime.wording import count, short_name


@dataclass(frozen=True)
class TestSection:
    """What the test rows say."""

    confidence: Confidence
    metrics: Mapping[str, str]
    """Value and interval by name."""
    confusion: Sequence[Figure]
    classes: Table
    per_class: Figure
    intervals: str
    """How the intervals were made and what they do not say."""


def test_section(predictions: Predictions, class_names: Sequence[str], *, seed: int) -> TestSection:
    """Confusion matrix, and scores with bootstrap intervals.

    Args:
        class_names: by class id.
        seed: of the bootstrap.
    """
    confidence = bootstrap(predictions.logits, predictions.labels, seed=seed)
    confusion = predictions.confusion_matrix()
    with np.errstate(invalid="ignore"):
        shares = confusion / confusion.sum(axis=1, keepdims=True)

    def picture(values: NDArray[Any], value_format: str) -> Markup:
        return heat_map(
            values,
            rows=class_names,
            columns=class_names,
            value_format=value_format,
            x_label="predicted class",
            y_label="true class",
        )

    return TestSection(
        confidence=confidence,
        metrics={metric(name): interval(value) for name, value in confidence.metrics.items()},
        confusion=[
            Figure(
                picture(confusion, ".0f"),
                f"Confusion matrix, test images counted: {count(confidence.rows)} in all.",
            ),
            Figure(
                picture(shares, ".2f"),
                "The same by row: of the images of a class, the part that is taken for each class. "
                "The diagonal is the sensitivity.",
            ),
        ],
        classes=_class_table(confidence, confusion, class_names),
        per_class=_class_chart(confidence, class_names),
        intervals=(
            f"Brackets and whiskers: {confidence.level:.0%} percentile bootstrap intervals over "
            f"{count(confidence.resamples)} draws of the test rows with replacement. They tell what a score owes to "
            "this sample of rows. They say nothing about other hospitals, and where every row of a class is right or "
            "wrong, the interval has no width although the truth is not certain."
        ),
    )


def _class_table(confidence: Confidence, confusion: NDArray[np.int64], class_names: Sequence[str]) -> Table:
    rows = []
    for number, (name, each) in enumerate(zip(class_names, confidence.classes, strict=True)):
        wrong = confusion[number].copy()
        wrong[number] = 0
        rows.append(
            [
                name,
                count(each.rows),
                interval(each.sensitivity),
                interval(each.specificity),
                f"{short_name(class_names[int(wrong.argmax())])} ({count(wrong.max())})" if wrong.any() else ABSENT,
            ]
        )
    return Table(["class", "test rows", "sensitivity", "specificity", "most often taken for"], rows, [1, 2, 3])


def _class_chart(confidence: Confidence, class_names: Sequence[str]) -> Figure:
    undefined = (np.nan, np.nan)
    sensitivity = [each.sensitivity for each in confidence.classes]
    specificity = [each.specificity for each in confidence.classes]
    series = {
        "sensitivity": [each.value if each else np.nan for each in sensitivity],
        "specificity": [each.value if each else np.nan for each in specificity],
    }
    errors = {
        "sensitivity": [(each.low, each.high) if each else undefined for each in sensitivity],
        "specificity": [(each.low, each.high) if each else undefined for each in specificity],
    }
    return Figure(
        bar_chart(class_names, series, y_label="rate", errors=errors),
        "Sensitivity and specificity of each class, with their intervals.",
    )


@dataclass(frozen=True)
class BoundsSection:
    """One table and one chart."""

    budget: str
    chart: Figure
    table: Table


def bounds_section(validation: Scores, test: Scores, bounds: Bounds) -> BoundsSection:
    """The comparison on the test split, or on the validation split as long as the run has no test scores.

    Args:
        validation, test: metrics of the federated model after its last round.
    """
    split = "test" if test else "validation"
    compared = compare_with_bounds(validation, test, bounds)
    scores = [model.test if test else model.validation for model in compared]
    metrics = [name for name in METRIC_NAMES if any(name in each for each in scores)]
    drawn = ("accuracy", "balanced_accuracy")
    return BoundsSection(
        budget=f"{count(bounds['budget_epochs'])} epochs" if "budget_epochs" in bounds else ABSENT,
        chart=Figure(
            bar_chart(
                [model.name for model in compared],
                {metric(name): [each.get(name, np.nan) for each in scores] for name in drawn},
                y_label=f"{split} score",
            ),
            f"Accuracy and balanced accuracy on the {split} split.",
        ),
        table=Table(
            [f"model, scored on the {split} split", "training rows", *map(metric, metrics)],
            [
                [model.name, count(model.rows) if model.rows else ABSENT, *(score(each.get(name)) for name in metrics)]
                for model, each in zip(compared, scores, strict=True)
            ],
            range(1, len(metrics) + 2),
            [number for number, model in enumerate(compared) if model.name == FEDERATED],
        ),
    )
