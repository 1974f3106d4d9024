"""The federated model between its bounds: each client alone, and all rows in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.record.comparison import FEDERATED, Bounds, compare_with_bounds
from fedforge_runtime.reporting.charts import bar_chart
from fedforge_runtime.reporting.exhibits import Figure, Table
from fedforge_runtime.reporting.numbers import ABSENT, metric, score
from fedforge_runtime.wording import count

Scores = Mapping[str, float]


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
