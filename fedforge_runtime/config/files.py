"""A run's configuration out of phase files, profiles and overrides, and partition presets out of theirs.

Precedence, lowest first: the phase's file, the profile, `--config FILE`, named options, `--set key=value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fedforge_runtime.config.partitioners import PARTITIONERS, parse_partitioner
from fedforge_runtime.config.presets import PresetConfig
from fedforge_runtime.config.sections import NO_PARTITION, PHASES, RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.wording import explain_problems, suggest


def load_run_config(
    phase: str,
    *,
    profile: str = "cpu-safe",
    config_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> RunConfig:
    """The configuration of a run.

    Args:
        phase: `blood`, `derma` or `path`.
        profile: a profile of the phase's file.
        config_file: YAML whose keys replace those of the phase; a run's own `config.yaml` fits.
        options: dotted keys and values from named options; `None` means "not given".
        assignments: `dotted.key=value` texts, the value in YAML.

    Raises:
        ConfigError: an unknown phase, profile, key or value, with the nearest right one.
    """
    check_phase(phase, profile)
    document = _phase_document(phase)
    _merge(document, document.pop("profiles")[profile])
    if config_file:
        _merge(document, _read_config_file(config_file))
        if document.get("phase") != phase:
            raise ConfigError(f"{config_file} is for phase {document.get('phase')!r}, not {phase!r}.")
    return change_run_config(document, options or {}, assignments)


def check_phase(phase: str, profile: str) -> None:
    """Raise `ConfigError` with the nearest right name where there is no such phase, or profile of it."""
    if phase not in PHASES:
        raise ConfigError(f"unknown phase {phase!r}.", remedy=suggest(phase, PHASES))
    profiles = _phase_document(phase)["profiles"]
    if profile not in profiles:
        raise ConfigError(f"unknown profile {profile!r}.", remedy=suggest(profile, profiles))


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """The key and the value of `dotted.key=value`, or `ConfigError`."""
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {assignment!r} is not KEY=VALUE.", remedy="Write --set learning.epochs=2.")
    return key.strip(), parse_yaml(text, origin=f"--set {key}")


def change_run_config(document: dict[str, Any], options: Mapping[str, Any], assignments: Iterable[str]) -> RunConfig:
    """A complete document with named options and `dotted.key=value` texts applied, validated."""
    for key, value in options.items():
        if value is not None:
            _assign(document, key, value)
    # Names first: with another name the parameters of the former go.
    for assignment in sorted(assignments, key=lambda text: not text.partition("=")[0].strip().endswith(".name")):
        _assign(document, *parse_assignment(assignment))
    _embed_preset(document)
    _leave_partition_out(document)
    return validate_run_config(document)


def read_run_config(path: Path) -> RunConfig:
    """The configuration that a run was started with.

    Raises:
        ConfigError: the file cannot be read, or is damaged.
    """
    document = _read_config_file(path)
    try:
        return validate_run_config(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", remedy=error.remedy) from error


def validate_run_config(document: Mapping[str, Any]) -> RunConfig:
    """Check a complete document; every problem becomes one line of one `ConfigError`."""
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(explain_problems(error, RunConfig, root="configuration")) from error


def _phase_document(phase: str) -> dict[str, Any]:
    file = resources.files(__package__).joinpath("phases", f"{phase}.yaml")
    document: dict[str, Any] = parse_yaml(file.read_text(encoding="utf-8"), origin=f"phases/{phase}.yaml")
    return document


def _read_config_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}", cause=error) from error
    document = parse_yaml(text, origin=str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must be a mapping of keys to values.")
    return document


def _embed_preset(document: dict[str, Any]) -> None:
    """Put a preset file's content where its path stands, so that a run's configuration is complete in itself."""
    section = document.get("partition")
    name = section.get("name") if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(name, str) and is_preset_file(name):
        preset = read_preset_file(Path(name))
        section |= {"name": Path(name).stem, "preset": preset.model_dump(mode="json", exclude_none=True)}


def _leave_partition_out(document: dict[str, Any]) -> None:
    """Where sites bring their own data nothing is spread over them: of the partition, their number counts."""
    federation, partition = document.get("federation"), document.get("partition")
    if isinstance(federation, dict) and federation.get("site_data") == "own" and isinstance(partition, dict):
        partition |= {"name": NO_PARTITION, "parameters": {}, "preset": None, "feature_skew": None}


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> None:
    if "name" in changes:
        _forget_former(base, changes["name"])
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and key not in _REPLACED_WHOLE:
            _merge(base[key], value)
        else:
            base[key] = value


_REPLACED_WHOLE = {"parameters", "preset"}


def dotted_items(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a document of any depth, each with its dotted key."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from dotted_items(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _forget_former(section: dict[str, Any], name: object) -> None:
    """Parameters, or a preset, belong to the name that they stand beside: with another name they go."""
    if section.get("name") != name:
        section.pop("preset", None)
        if "parameters" in section:
            section["parameters"] = {}


def _assign(document: dict[str, Any], dotted_key: str, value: Any) -> None:
    *parents, last = dotted_key.split(".")
    target = document
    for parent in parents:
        child = target.get(parent)
        if child is None:
            child = target[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{dotted_key}: {parent!r} is a value and has no keys below it.")
        target = child
    if last == "name":
        _forget_former(target, value)
    target[last] = value


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
        raise ConfigError(
            f"cannot read the partition preset {path}",
            cause=error,
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
