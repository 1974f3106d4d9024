"""Where a federation runs; see `base` for the contract that every engine fulfils."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping

from fedforge_runtime.engines.base import Engine
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.wording import suggest

ENGINES: Mapping[str, str] = {
    "inprocess": "fedforge_runtime.engines.inprocess:InprocessEngine",
    "ray": "fedforge_runtime.engines.ray:RayEngine",
    "superlink": "fedforge_runtime.engines.superlink.engine:SuperlinkEngine",
}
"""`module:class` of each, which is loaded once it is opened."""

TEMPLATE_MODULES: Mapping[str, tuple[str, ...]] = {"superlink": ("fedforge_runtime.engines.superlink.node.node",)}
"""What the processes of an engine need in their template beside what all do; known before the engine is loaded."""


def check_engine(name: str) -> None:
    """Raise `ConfigError` with the nearest name where there is no engine of that name; none is loaded for it."""
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}.", remedy=suggest(name, ENGINES))


def open_engine(name: str) -> Engine:
    """The engine of that name, or `ConfigError` with the nearest name."""
    check_engine(name)
    engine: Engine = pkgutil.resolve_name(ENGINES[name])()
    return engine
