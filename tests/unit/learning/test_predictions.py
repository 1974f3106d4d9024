"""Predictions survive being stored, and a broken file is one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedforge_runtime.errors import DataError
from fedforge_runtime.learning.predictions import Predictions, read_predictions, write_predictions


def _predictions() -> Predictions:
    generator = np.random.default_rng(0)
    return Predictions(generator.normal(size=(50, 4)).astype(np.float32), generator.integers(0, 3, 50))


def test_what_is_read_is_what_was_written_to_the_bit(tmp_path: Path) -> None:
    written = _predictions()
    write_predictions(tmp_path / "predictions.safetensors", written)
    read = read_predictions(tmp_path / "predictions.safetensors")
    np.testing.assert_array_equal(read.logits, written.logits, strict=True)
    np.testing.assert_array_equal(read.labels, written.labels, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.safetensors"]


def test_the_confusion_matrix_counts_true_by_predicted_class() -> None:
    from sklearn.metrics import confusion_matrix

    predictions = _predictions()  # no row is of class 3
    expected = confusion_matrix(predictions.labels, predictions.logits.argmax(axis=1), labels=range(4))
    np.testing.assert_array_equal(predictions.confusion_matrix(), expected)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.safetensors"
    write_predictions(path, _predictions())
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="cannot read the predictions") as refused:
        read_predictions(path)
    assert "Delete the file" in refused.value.remedy


@pytest.mark.parametrize(
    "tensors",
    [
        {"logits": np.zeros((3, 2), np.float32)},
        {"logits": np.zeros((3, 2), np.float32), "labels": np.zeros(4, np.int64)},
        {"logits": np.zeros(3, np.float32), "labels": np.zeros(3, np.int64)},
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path / "predictions.safetensors"
    save_file(tensors, path)
    with pytest.raises(DataError, match=r"predictions\.safetensors"):
        read_predictions(path)
