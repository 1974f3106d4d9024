"""The metrics of every table and screen, as an `evaluate.Metric` that needs no hub."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.errors import DivergedError
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.scores import weighted_scores


class ClassificationMetrics(evaluate.Metric):  # type: ignore[misc]
    """Accuracy, balanced accuracy, macro F1, one-vs-rest macro AUC and mean cross-entropy of class logits."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Classification quality from logits.",
            citation="",
            inputs_description="predictions: logits (rows, classes); references: class ids (rows,)",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return classification_metrics(np.asarray(predictions), np.asarray(references))


def classification_metrics(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """The five metrics by name.

    Args:
        logits: (rows, classes).
        labels: class ids (rows,).

    Balanced accuracy and F1 average over the classes present in `labels`. AUC averages one-vs-rest over the
    classes that have both positive and negative rows, and is NaN-free: it is left out when no class has both.

    Raises:
        DivergedError: logits that are not finite.
    """
    if not np.isfinite(logits).all():
        raise DivergedError(
            "the model's outputs are not finite numbers: its training has diverged.",
            remedy="Lower learning.learning_rate.",
        )
    scores = weighted_scores(logits, labels, np.ones((len(labels), 1)))
    values = {name: float(scores[name][0]) for name in METRIC_NAMES}
    return {name: value for name, value in values.items() if name != "auc" or np.isfinite(value)}
