"""Strategies by name: what may be set, and what they carry from round to round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.serverapp import strategy as flower

from fedforge_runtime.config import StrategyConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.federation.messages import from_arrays, to_arrays
from fedforge_runtime.federation.strategies import (
    STRATEGIES,
    build_strategy,
    expected_update,
    restore_dtypes,
    restore_server_state,
    server_state,
)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_built_with_its_defaults(name: str) -> None:
    strategy = build_strategy(StrategyConfig(name=name))

    assert type(strategy) is STRATEGIES[name].build
    for parameter, value in STRATEGIES[name].parameters.items():
        assert getattr(strategy, parameter) == value


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_all_that_it_is_shown_and_waits_for_nobody(name: str) -> None:
    strategy: Any = build_strategy(StrategyConfig(name=name))

    assert (strategy.fraction_train, strategy.fraction_evaluate) == (1.0, 1.0)
    assert (strategy.min_train_nodes, strategy.min_evaluate_nodes, strategy.min_available_nodes) == (1, 1, 1)


def test_a_parameter_can_be_set() -> None:
    strategy = build_strategy(StrategyConfig(name="fedprox", parameters={"proximal_mu": 0.7}))

    assert isinstance(strategy, flower.FedProx)
    assert strategy.proximal_mu == 0.7


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("fedavgg", {}, "unknown strategy 'fedavgg'. Did you mean 'fedavg'?"),
        ("zzz", {}, "unknown strategy 'zzz'. Known: fedavg, fedprox"),
        ("fedprox", {"proximal_nu": 1}, "has no parameter 'proximal_nu'. Did you mean 'proximal_mu'?"),
        ("fedavg", {"eta": 1}, "strategy 'fedavg' has no parameter 'eta'. Known: (none)."),
        ("krum", {"num_malicious_nodes": 1.5}, "num_malicious_nodes must be a whole number, not 1.5"),
        ("fedprox", {"proximal_mu": -1}, "proximal_mu must not be negative, but is -1"),
        ("closed_form", {"regularisation": 0}, "refuses its parameters: regularisation must be above 0, not 0"),
        ("closed_form", {"temperature": 0}, "refuses its parameters: temperature must be above 0, not 0"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused(name: str, parameters: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_strategy(StrategyConfig(name=name, parameters=parameters))

    assert problem in str(refused.value)


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedmedian", "fedtrimmedavg", "krum", "closed_form"])
def test_a_strategy_without_an_optimiser_carries_nothing(name: str) -> None:
    assert server_state(build_strategy(StrategyConfig(name=name))) == {}


def test_named_and_listed_states_come_back_in_their_own_shape() -> None:
    adam, momentum = flower.FedAdam(), flower.FedAvgM(server_momentum=0.9)
    adam.m_t = {"weight": np.ones((2, 3)), "bias": np.zeros(2)}
    adam.v_t = {"weight": np.full((2, 3), 4.0), "bias": np.ones(2)}
    momentum.momentum_vector = [np.full(3, float(index), dtype=np.float32) for index in range(12)]

    adam_again, momentum_again = flower.FedAdam(), flower.FedAvgM(server_momentum=0.9)
    restore_server_state(adam_again, server_state(adam))
    restore_server_state(momentum_again, server_state(momentum))

    for attribute in ("m_t", "v_t"):
        restored, original = getattr(adam_again, attribute), getattr(adam, attribute)
        assert restored.keys() == original.keys()
        assert all((restored[name] == original[name]).all() for name in original)
    assert momentum_again.momentum_vector is not None
    assert [int(value[0]) for value in momentum_again.momentum_vector] == list(range(12))
    assert {value.dtype for value in momentum_again.momentum_vector} == {np.dtype(np.float32)}


def test_restoring_nothing_leaves_a_fresh_strategy() -> None:
    strategy = flower.FedAdam()

    restore_server_state(strategy, {})

    assert strategy.m_t is None


def test_aggregated_tensors_get_the_types_in_which_they_went_out() -> None:
    sent = to_arrays({"weight": np.ones((2, 2), dtype=np.float32), "count": np.ones(2, dtype=np.float64)})
    aggregated = to_arrays({"weight": np.full((2, 2), 1 / 3), "count": np.full(2, 1 / 3)})

    restored = from_arrays(restore_dtypes(aggregated, sent))

    assert restored["weight"].dtype == np.float32
    assert restored["count"].dtype == np.float64
    np.testing.assert_array_equal(restored["weight"], np.full((2, 2), 1 / 3).astype(np.float32))


def test_the_update_expected_of_a_client_is_the_model_or_for_the_closed_form_its_moments() -> None:
    sent = to_arrays({"classifier.weight": np.ones((4, 6)), "classifier.bias": np.ones(4)})
    closed_form = build_strategy(StrategyConfig(name="closed_form"))

    expected = from_arrays(expected_update(closed_form, sent))

    assert {name: value.shape for name, value in expected.items()} == {"gram": (28,), "targets": (7, 4)}
    assert expected_update(build_strategy(StrategyConfig()), sent) is sent


def test_tensors_go_out_in_the_order_of_their_names() -> None:
    parameters = {"b": np.ones(1), "a": np.zeros(1)}

    assert list(to_arrays(parameters)) == ["a", "b"]
