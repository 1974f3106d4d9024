"""The metrics agree with scikit-learn wherever it defines them, and are defined where it does not."""

from __future__ import annotations

import socket
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from fedforge_runtime.errors import DivergedError
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.training import ClassificationMetrics, classification_metrics


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (rows, classes) and labels, in which some classes may be absent."""
    classes, rows = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = generator.normal(0, draw(st.sampled_from([0.1, 1.0, 30.0])), (rows, classes)).astype(np.float32)
    present = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
    return logits, generator.choice(present, rows).astype(np.int64)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@settings(deadline=None)
@given(predictions())
def test_every_metric_agrees_with_scikit_learn(data: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits, labels = data
    predicted, present = logits.argmax(axis=1), np.unique(labels)

    metrics = classification_metrics(logits, labels)

    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predictions of classes that are not among the labels
        assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    expected_f1 = f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(expected_f1)
    clipped = -np.log(probabilities(logits))[np.arange(len(labels)), labels]
    assert metrics["loss"] == pytest.approx(clipped.mean(), rel=1e-6, abs=1e-9)
    assert ("auc" in metrics) == (len(present) > 1)
    assert all(np.isfinite(value) and isinstance(value, float) for value in metrics.values())


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_auc_and_loss_are_scikit_learns_when_every_class_is_present(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(40, 4)).astype(np.float32)
    labels = np.concatenate([np.arange(4), generator.integers(0, 4, 36)])

    metrics = classification_metrics(logits, labels)

    expected_auc = roc_auc_score(labels, probabilities(logits), multi_class="ovr", average="macro")
    assert metrics["auc"] == pytest.approx(expected_auc)
    assert metrics["loss"] == pytest.approx(log_loss(labels, probabilities(logits), labels=range(4)))


def test_with_labels_of_one_class_there_is_no_auc_and_the_rest_is_defined() -> None:
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 0.0, 1.0]])

    metrics = classification_metrics(logits, np.array([0, 0, 0]))

    assert set(metrics) == set(METRIC_NAMES) - {"auc"}
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == pytest.approx(2 / 3)
    assert metrics["macro_f1"] == pytest.approx(0.8)


def test_perfect_predictions_score_one() -> None:
    metrics = classification_metrics(np.eye(4) * 50, np.arange(4))

    assert metrics == {
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "macro_f1": 1.0,
        "auc": 1.0,
        "loss": pytest.approx(0.0, abs=1e-12),
    }


def test_huge_logits_give_a_finite_loss() -> None:
    metrics = classification_metrics(np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([1, 1]))

    assert metrics["loss"] == pytest.approx(1e4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_has_diverged_has_no_metrics(value: float) -> None:
    with pytest.raises(DivergedError, match="training has diverged"):
        classification_metrics(np.array([[0.0, value], [1.0, 0.0]]), np.array([0, 1]))


def test_balanced_accuracy_weighs_classes_and_not_rows() -> None:
    logits = np.tile([1.0, 0.0], (10, 1))

    metrics = classification_metrics(logits, np.array([0] * 9 + [1]))

    assert metrics["accuracy"] == pytest.approx(0.9)
    assert metrics["balanced_accuracy"] == pytest.approx(0.5)


def test_the_metric_module_computes_the_same_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    generator = np.random.default_rng(4)
    logits = generator.normal(size=(20, 3)).astype(np.float32)
    labels = generator.integers(0, 3, 20)
    metric = ClassificationMetrics(keep_in_memory=True)

    for _ in range(2):  # an `evaluate.Metric` forgets what it was given
        assert metric.compute(predictions=logits, references=labels) == pytest.approx(
            classification_metrics(logits, labels), rel=1e-6
        )


def test_the_names_are_those_that_tables_use() -> None:
    generator = np.random.default_rng(5)

    metrics = classification_metrics(generator.normal(size=(20, 3)), generator.integers(0, 3, 20))

    assert set(metrics) == set(METRIC_NAMES)
