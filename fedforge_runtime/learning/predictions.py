"""A model's answers on a split: the one source of its metrics, its confusion matrix and their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.errors import DataError
from fedforge_runtime.storage.artifacts import write_atomically


@dataclass(frozen=True)
class Predictions:
    """Logits and labels, row by row in the order of the split."""

    logits: NDArray[np.float32]
    """(rows, classes)."""
    labels: NDArray[np.int64]
    """Class ids (rows,)."""

    def confusion_matrix(self) -> NDArray[np.int64]:
        """Rows of every true class (first axis) by predicted class (second axis): (classes, classes)."""
        classes = self.logits.shape[1]
        cells = self.labels * classes + self.logits.argmax(axis=1)
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `logits` (float32) and `labels` (int64) as one safetensors file, atomically."""
    from safetensors.numpy import save

    logits = np.ascontiguousarray(predictions.logits, dtype=np.float32)
    labels = np.ascontiguousarray(predictions.labels, dtype=np.int64)
    write_atomically(path, save({"logits": logits, "labels": labels}))


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` wrote.

    Raises:
        DataError: the file is broken, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        path.open("rb").close()  # safetensors says of every file that it cannot open that there is none
        tensors = load_file(path)
        predictions = Predictions(tensors["logits"], tensors["labels"])
    except (FileNotFoundError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"cannot read the predictions in {path}", cause=error, remedy=_REMEDY) from error
    rows = (len(predictions.labels),)
    if predictions.logits.ndim != 2 or predictions.logits.shape[:1] != rows or predictions.labels.shape != rows:
        raise DataError(
            f"{path} holds logits {predictions.logits.shape} and labels {predictions.labels.shape}.", remedy=_REMEDY
        )
    return predictions


_REMEDY = "Delete the file: the report is then made without its confusion matrix."
