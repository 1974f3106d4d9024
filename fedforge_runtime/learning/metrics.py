"""The metrics of every table and screen, as an `evaluate.Metric` that needs no hub."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score


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
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels, dtype=np.int64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    predicted = logits.argmax(axis=1)
    present = np.unique(labels)
    values = {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.mean([(predicted[labels == c] == c).mean() for c in present])),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
    }
    if len(present) > 1:
        probabilities = np.exp(log_probabilities)
        areas = [roc_auc_score(labels == c, probabilities[:, c]) for c in present]
        values["auc"] = float(np.mean(areas))
    return values
