"""Finds partition presets, in the package or in a user's file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from fedforge_runtime.config.partitioners import PARTITIONERS, parse_partitioner
from fedforge_runtime.config.presets import PresetConfig
from fedforge_runtime.config.yaml_text import parse_yaml
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.wording import explain_problems, suggest

_SUFFIXES = (".yaml", ".yml")


@cache
def preset_names() -> tuple[str, ...]:
    """The presets of the package, by name."""
    files = resources.files(__package__).joinpath("partitions").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


@cache
def load_preset(name: str) -> PresetConfig:
    """A preset of the package.

    Raises:
        ConfigError: there is none of that name; names the nearest.
    """
    if name not in preset_names():
        raise ConfigError(f"unknown partition {name!r}.", remedy=suggest(name, [*PARTITIONERS, *preset_names()]))
    file = resources.files(__package__).joinpath("partitions", f"{name}.yaml")
    return _parse_preset(file.read_text(encoding="utf-8"), origin=f"presets/{name}.yaml")


def is_preset_file(name: str) -> bool:
    """Whether a partition's name stands for a file of the user's."""
    return name.endswith(_SUFFIXES)


def read_preset_file(path: Path) -> PresetConfig:
    """A preset of the user's.

    Raises:
        ConfigError: the file cannot be read or is no preset; names the key and what to write there.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"cannot read the partition preset {path}: {reason}.",
            remedy=f"Give a YAML file, or one of the presets {', '.join(preset_names())}.",
        ) from error
    return _parse_preset(text, origin=str(path))


def _parse_preset(text: str, *, origin: str) -> PresetConfig:
    document = parse_yaml(text, origin=origin)
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} must be a mapping with title, story and groups.")
    try:
        preset = PresetConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {explain_problems(error, PresetConfig)}") from error
    check_partitioners(preset, origin)
    return preset


def check_partitioners(preset: PresetConfig, origin: str) -> None:
    """Raise `ConfigError` with the key where a group names a partitioner that there is not."""
    for number, group in enumerate(preset.groups):
        try:
            parse_partitioner(group.partitioner)
        except ConfigError as error:
            raise ConfigError(f"{origin}: groups.{number}.partitioner: {error.message}", remedy=error.remedy) from error
