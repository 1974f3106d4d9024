"""One pass gives both the answers and, to the bit, the metrics of an evaluation."""

from __future__ import annotations

import numpy as np

from fedforge_runtime.config import LearningConfig
from fedforge_runtime.learning.model import FeatureHead
from fedforge_runtime.learning.parameters import initial_head
from fedforge_runtime.learning.rows import FeatureRows
from fedforge_runtime.learning.training import classification_metrics, evaluate_model, predict_model


def test_predictions_come_in_the_order_of_the_rows_with_the_metrics_of_an_evaluation() -> None:
    generator = np.random.default_rng(0)
    rows = FeatureRows(generator.normal(size=(1500, 6)).astype(np.float32), generator.integers(0, 3, 1500))
    model = FeatureHead(6, 3, None)
    model.load_trainable(initial_head(6, 3, seed=1))
    predictions, metrics = predict_model(model, rows, LearningConfig())
    assert metrics == evaluate_model(model, rows, LearningConfig())
    assert metrics == classification_metrics(predictions.logits, predictions.labels)
    assert predictions.logits.dtype == np.float32
    np.testing.assert_array_equal(predictions.labels, rows.labels.numpy())
    weights = initial_head(6, 3, seed=1)
    expected = rows.features.numpy() @ weights["classifier.weight"].T + weights["classifier.bias"]
    np.testing.assert_allclose(predictions.logits, expected, atol=1e-5)
