"""The head that is trained, on cached features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedforge_runtime.learning.model import FeatureHead
from fedforge_runtime.learning.parameters import Parameters, initial_head, model_sha256
from fedforge_runtime.learning.sums import Standardisation

FEATURES = torch.from_numpy(np.random.default_rng(1).normal(5.0, 3.0, (12, 6)).astype(np.float32))
LABELS = torch.arange(12) % 3


@pytest.fixture
def parameters() -> Parameters:
    return initial_head(6, 3, seed=17)


@pytest.fixture
def head(parameters: Parameters) -> FeatureHead:
    head = FeatureHead(6, 3, None)
    head.load_trainable(parameters)
    return head


def test_what_is_loaded_is_what_comes_back(head: FeatureHead, parameters: Parameters) -> None:
    assert model_sha256(head.trainable()) == model_sha256(parameters)


def test_what_comes_back_is_a_copy(head: FeatureHead, parameters: Parameters) -> None:
    head.trainable()["classifier.weight"][:] = 9

    assert model_sha256(head.trainable()) == model_sha256(parameters)


@pytest.mark.parametrize("wrong", [{}, {"classifier.weight": np.zeros((3, 6), np.float32)}, {"weight": np.zeros(1)}])
def test_other_tensors_are_refused_by_name(head: FeatureHead, wrong: Parameters) -> None:
    with pytest.raises(ValueError, match=r"expected the tensors \['classifier.bias', 'classifier.weight'\]"):
        head.load_trainable(wrong)


def test_a_tensor_of_another_shape_is_refused(head: FeatureHead, parameters: Parameters) -> None:
    with pytest.raises(RuntimeError, match="size"):
        head.load_trainable({**parameters, "classifier.weight": np.zeros((3, 5), np.float32)})


def test_logits_are_those_of_standardised_features(parameters: Parameters) -> None:
    standardisation = Standardisation(
        FEATURES.numpy().mean(axis=0).astype(np.float32), FEATURES.numpy().std(axis=0).astype(np.float32)
    )
    head = FeatureHead(6, 3, standardisation)
    head.load_trainable(parameters)

    logits = head(FEATURES)["logits"].detach().numpy()

    standardised = (FEATURES.numpy() - standardisation.mean) / standardisation.scale
    expected = standardised @ parameters["classifier.weight"].T + parameters["classifier.bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_the_standardisation_is_not_trained_and_does_not_travel(parameters: Parameters) -> None:
    head = FeatureHead(6, 3, Standardisation(np.ones(6, np.float32), np.full(6, 2, np.float32)))

    assert head.trainable().keys() == parameters.keys() == head.state_dict().keys()


def test_the_proximal_term_is_half_mu_times_the_squared_distance(head: FeatureHead) -> None:
    plain = head(FEATURES, LABELS)["loss"].item()
    head.pull_towards_present(0.4)
    assert head(FEATURES, LABELS)["loss"].item() == pytest.approx(plain)

    with torch.no_grad():
        head.classifier.weight += 0.5
        head.classifier.bias -= 0.25
    moved = FeatureHead(6, 3, None)
    moved.load_trainable(head.trainable())

    distance = 18 * 0.5**2 + 3 * 0.25**2
    expected = moved(FEATURES, LABELS)["loss"].item() + 0.4 / 2 * distance
    assert head(FEATURES, LABELS)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_the_proximal_term_is_no_part_of_an_evaluation(head: FeatureHead) -> None:
    head.pull_towards_present(0.4)
    with torch.no_grad():
        head.classifier.weight += 0.5
    trained = head(FEATURES, LABELS)["loss"].item()

    evaluated = head.eval()(FEATURES, LABELS)["loss"].item()

    assert evaluated == pytest.approx(trained - 0.4 / 2 * 18 * 0.5**2, rel=1e-5)
