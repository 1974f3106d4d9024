"""The partitioners that a configuration can name, their parameters, and how both are read and checked.

Left out of Flower's list: `DistributionPartitioner` wants a matrix of classes by columns, which a parameter
cannot say, and a number of clients that is a multiple of the number of classes; the natural-id, continuous
and vertical partitioners need other columns than a label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fedforge_runtime.config.sections import ParameterValue
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.wording import suggest


def parse_named_argument(text: str) -> tuple[str, str | None]:
    """Split `NAME[:ARGUMENT]`, for example `dirichlet:0.5`."""
    name, separator, argument = text.partition(":")
    return name, argument if separator else None


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter of a partitioner: its type, its default and what values it takes."""

    name: str
    type: Literal["integer", "number", "integers"]
    description: str
    default: ParameterValue | None = None
    """`None`: the parameter has no default."""
    required: bool = False
    minimum: int = 1
    """The smallest value, or the smallest element of a list."""
    minimum_excluded: bool = False
    maximum: int | None = None

    @property
    def expectation(self) -> str:
        """What a value must be, in words."""
        noun = {"integer": "a whole number", "number": "a number", "integers": "a list of whole numbers"}
        bound = f"above {self.minimum}" if self.minimum_excluded else f"of at least {self.minimum}"
        ceiling = "" if self.maximum is None else f", at most {self.maximum}"
        return f"{noun[self.type]} {bound}{ceiling}"

    def accepts(self, value: object) -> bool:
        """Whether `value` has the type and lies within the bounds."""
        if self.type == "integers":
            return isinstance(value, list) and bool(value) and all(self._accepts_one(item) for item in value)
        return self._accepts_one(value)

    def _accepts_one(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if isinstance(value, float) and (self.type != "number" or not math.isfinite(value)):
            return False
        above = value > self.minimum if self.minimum_excluded else value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)

    def parse(self, text: str) -> ParameterValue | None:
        """The value that a command line's text stands for, `None` when it is of another type."""
        try:
            if self.type == "integers":
                return [int(item) for item in text.split(",")]
            return int(text) if self.type == "integer" else float(text)
        except ValueError:
            return None


@dataclass(frozen=True)
class PartitionerSpec:
    """A partitioner that can be named in a configuration."""

    name: str
    description: str
    parameters: tuple[ParameterSpec, ...] = ()
    """The first is the main parameter: the one that `NAME:ARGUMENT` sets."""

    @property
    def main_parameter(self) -> ParameterSpec | None:
        return self.parameters[0] if self.parameters else None


_ALPHA = ParameterSpec(
    "alpha",
    "number",
    "concentration: small is skewed, large is even",
    default=0.5,
    minimum=0,
    minimum_excluded=True,
    maximum=1_000_000,
)

PARTITIONERS: Mapping[str, PartitionerSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            PartitionerSpec("iid", "equal shares of shuffled rows"),
            PartitionerSpec(
                "dirichlet",
                "each class is shared out in proportions drawn from a Dirichlet distribution",
                (_ALPHA,),
            ),
            PartitionerSpec(
                "shard",
                "rows sorted by class are cut into equal shards, and every client draws as many",
                (ParameterSpec("shards_per_client", "integer", "shards that a client draws", default=2),),
            ),
            PartitionerSpec(
                "pathological",
                "every client holds a fixed number of classes",
                (ParameterSpec("classes_per_client", "integer", "classes that a client holds", default=2),),
            ),
            PartitionerSpec("linear", "shuffled rows; client i holds a share in proportion to i"),
            PartitionerSpec("square", "shuffled rows; client i holds a share in proportion to i²"),
            PartitionerSpec("exponential", "shuffled rows; client i holds a share in proportion to eⁱ"),
            PartitionerSpec(
                "size",
                "shuffled rows; every client holds the given number",
                (ParameterSpec("sizes", "integers", "rows of each client", required=True),),
            ),
            PartitionerSpec(
                "inner_dirichlet",
                "given client sizes; each client's mix of classes is drawn from a Dirichlet distribution",
                (_ALPHA, ParameterSpec("sizes", "integers", "rows of each client, equal by default")),
            ),
            PartitionerSpec(
                "geometric",
                "shuffled rows; every client holds the same multiple of the one before it",
                (
                    ParameterSpec(
                        "ratio",
                        "number",
                        "rows of the largest client to those of the smallest",
                        default=10.0,
                        maximum=1_000_000,
                    ),
                ),
            ),
        )
    }
)


def parse_partitioner(text: str) -> tuple[str, dict[str, ParameterValue]]:
    """Read `NAME[:ARGUMENT]`, the argument being the partitioner's main parameter.

    Returns:
        The name and the parameters, defaults included: `dirichlet:0.1` gives `("dirichlet", {"alpha": 0.1})`,
        `size:100,200` gives `("size", {"sizes": [100, 200]})`.

    Raises:
        ConfigError: an unknown name, or an argument that is missing, superfluous or wrong.
    """
    name, argument = parse_named_argument(text.strip())
    spec = find_partitioner(name)
    if argument is None:
        return name, complete_parameters(spec, {})
    main = spec.main_parameter
    if main is None:
        raise ConfigError(f"partition {name!r} takes no argument, not {argument!r}.", remedy=f"Write {name}.")
    value = main.parse(argument)
    if value is None:
        raise ConfigError(f"{_wrong_value(spec, main, argument)}.")
    return name, complete_parameters(spec, {main.name: value})


def find_partitioner(name: str) -> PartitionerSpec:
    """The partitioner of that name.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in PARTITIONERS:
        raise ConfigError(f"unknown partition {name!r}.", remedy=suggest(name, PARTITIONERS))
    return PARTITIONERS[name]


def complete_parameters(spec: PartitionerSpec, given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """`given` checked, with the defaults of what is absent; every number of type `number` a float.

    Raises:
        ConfigError: a parameter that is unknown, missing or wrong; every one is named.
    """
    known = {parameter.name: parameter for parameter in spec.parameters}
    problems = []
    complete: dict[str, ParameterValue] = {}
    for name in given:
        if name not in known:
            advice = suggest(name, known).rstrip(".") if known else "It takes none"
            problems.append(f"unknown parameter {name!r} of partition {spec.name!r}. {advice}")
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            if parameter.required:
                problems.append(f"partition {spec.name!r} needs {name}, {parameter.expectation}")
        elif not parameter.accepts(value):
            problems.append(_wrong_value(spec, parameter, value))
        elif parameter.type == "number" and isinstance(value, int):
            complete[name] = float(value)
        else:
            complete[name] = value
    if problems:
        text = "; ".join(problems)
        raise ConfigError(text if text.endswith("?") else f"{text}.")
    return complete


def _wrong_value(spec: PartitionerSpec, parameter: ParameterSpec, value: object) -> str:
    return f"{parameter.name} of partition {spec.name!r} must be {parameter.expectation}, not {value!r}"
