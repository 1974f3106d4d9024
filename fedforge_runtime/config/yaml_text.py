"""YAML as people write it: the safe loader, with numbers that are numbers and errors that name their origin."""

from __future__ import annotations

import re
from typing import Any

import yaml

from fedforge_runtime.errors import ConfigError


class _YamlLoader(yaml.SafeLoader):
    """YAML 1.1, but `5e-3` is a number, as everybody expects."""


_YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?$"),
    list("-+0123456789."),
)
# An integer also matches the pattern above, so the stock integer rule must be asked first.
for _first, _rules in _YamlLoader.yaml_implicit_resolvers.items():
    _rules.sort(key=lambda rule: rule[0] != "tag:yaml.org,2002:int")


def parse_yaml(text: str, *, origin: str) -> Any:
    """The value of a YAML text; `origin` names it in the error."""
    try:
        return yaml.load(text, Loader=_YamlLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
        raise ConfigError(f"{origin} is not valid YAML: {' '.join(str(error).split())}.") from error
