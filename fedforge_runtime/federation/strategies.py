"""Flower's strategies by name, with the parameters that a configuration may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from fedforge_runtime.config import CLOSED_FORM, StrategyConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.closed_form import ClosedForm
from fedforge_runtime.learning.sums import DEFAULT_REGULARISATION, DEFAULT_TEMPERATURE
from fedforge_runtime.wording import suggest

# Every strategy trains and evaluates exactly the nodes that it is shown: the round's participants.
_ALL_NODES = {"fraction_train": 1.0, "fraction_evaluate": 1.0}
_NEVER_WAIT = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}


@dataclass(frozen=True)
class StrategySpec:
    """A strategy class and the defaults of what may be set; an `int` default makes an `int` parameter."""

    build: type[flower.Strategy]
    summary: str
    parameters: Mapping[str, int | float] = field(default_factory=dict)


_ADAPTIVE = {"eta": 0.01, "tau": 1e-3}
STRATEGIES: Mapping[str, StrategySpec] = {
    "fedavg": StrategySpec(flower.FedAvg, "average weighted by rows (McMahan et al. 2017)"),
    "fedprox": StrategySpec(flower.FedProx, "FedAvg with a proximal term (Li et al. 2020)", {"proximal_mu": 0.1}),
    "fedavgm": StrategySpec(
        flower.FedAvgM,
        "FedAvg with server momentum (Hsu et al. 2019)",
        {"server_learning_rate": 1.0, "server_momentum": 0.9},
    ),
    "fedadam": StrategySpec(
        flower.FedAdam, "adaptive server (Reddi et al. 2021)", {**_ADAPTIVE, "beta_1": 0.9, "beta_2": 0.99}
    ),
    "fedyogi": StrategySpec(
        flower.FedYogi, "adaptive server (Reddi et al. 2021)", {**_ADAPTIVE, "beta_1": 0.9, "beta_2": 0.99}
    ),
    "fedadagrad": StrategySpec(flower.FedAdagrad, "adaptive server (Reddi et al. 2021)", dict(_ADAPTIVE)),
    "fedmedian": StrategySpec(flower.FedMedian, "coordinate-wise median (Yin et al. 2018)"),
    "fedtrimmedavg": StrategySpec(flower.FedTrimmedAvg, "trimmed mean (Yin et al. 2018)", {"beta": 0.2}),
    "krum": StrategySpec(
        flower.Krum, "the update nearest to the others (Blanchard et al. 2017)", {"num_malicious_nodes": 0}
    ),
    CLOSED_FORM: StrategySpec(
        ClosedForm,
        "the ridge head of all rows, in one round (Fanì et al. 2024)",
        {"regularisation": DEFAULT_REGULARISATION, "temperature": DEFAULT_TEMPERATURE},
    ),
}

# What server optimisers carry from round to round, over all strategies above.
_STATE_ATTRIBUTES = ("m_t", "v_t", "momentum_vector")


def build_strategy(config: StrategyConfig) -> flower.Strategy:
    """The strategy that a configuration names.

    Raises:
        ConfigError: an unknown name, parameter or value.
    """
    spec = STRATEGIES.get(config.name)
    if spec is None:
        raise ConfigError(f"unknown strategy {config.name!r}.", remedy=suggest(config.name, STRATEGIES))
    for name, value in config.parameters.items():
        if name not in spec.parameters:
            remedy = suggest(name, spec.parameters or ["(none)"])
            raise ConfigError(f"strategy {config.name!r} has no parameter {name!r}.", remedy=remedy)
        if isinstance(spec.parameters[name], int) and not isinstance(value, int):
            raise ConfigError(f"strategy {config.name!r}: {name} must be a whole number, not {value!r}.")
        if value < 0:
            raise ConfigError(f"strategy {config.name!r}: {name} must not be negative, but is {value}.")
    arguments: dict[str, Any] = {**_ALL_NODES, **_NEVER_WAIT, **spec.parameters, **config.parameters}
    try:
        return spec.build(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"strategy {config.name!r} refuses its parameters", cause=error) from error


def server_state(strategy: flower.Strategy) -> dict[str, NDArray[Any]]:
    """The strategy's optimiser state as flat named arrays, empty for those without."""
    state: dict[str, NDArray[Any]] = {}
    for attribute in _STATE_ATTRIBUTES:
        value = getattr(strategy, attribute, None)
        if isinstance(value, Mapping):
            state |= {f"{attribute}.{name}": np.asarray(array) for name, array in value.items()}
        elif value is not None:
            state |= {f"{attribute}#{index:05d}": np.asarray(array) for index, array in enumerate(value)}
    return state


def restore_server_state(strategy: flower.Strategy, state: Mapping[str, NDArray[Any]]) -> None:
    """Put back what `server_state` gave."""
    for attribute in _STATE_ATTRIBUTES:
        named = {
            key.removeprefix(f"{attribute}."): array for key, array in state.items() if key.startswith(f"{attribute}.")
        }
        listed = [state[key] for key in sorted(state) if key.startswith(f"{attribute}#")]
        if named or listed:
            setattr(strategy, attribute, named or listed)


def forget_current_arrays(strategy: flower.Strategy) -> None:
    """Have the strategy take the round's model from `configure_train`, as it would after a resume.

    FedAvgM keeps its own copy, which may differ in dtype from the model that clients and checkpoints get.
    """
    if getattr(strategy, "current_arrays", None) is not None:
        strategy.current_arrays = None  # type: ignore[attr-defined]


def expected_update(strategy: flower.Strategy, sent: ArrayRecord) -> ArrayRecord:
    """Tensors with the names, kinds and shapes that a client's update must have: the model's, as a rule."""
    return strategy.expected_update(sent) if isinstance(strategy, ClosedForm) else sent


def restore_dtypes(aggregated: ArrayRecord, sent: ArrayRecord) -> ArrayRecord:
    """Aggregated tensors in the dtypes that went out: adaptive strategies return float64."""
    wanted = messages.from_arrays(sent)
    return messages.to_arrays(
        {name: value.astype(wanted[name].dtype, copy=False) for name, value in messages.from_arrays(aggregated).items()}
    )
