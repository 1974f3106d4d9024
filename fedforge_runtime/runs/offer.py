"""What this installation carries out for a monitor, as one document: whoever claims runs offers the same."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel

from fedforge_runtime.config import PHASES, PROFILES, RunConfig, dotted_items, load_run_config, parse_assignment
from fedforge_runtime.errors import ConfigError

_ENGINE, _SITES = "runtime.engine", "federation.sites"
_DATA, _BACKBONE = "dataset.source", "backbone.name"
_SUPERLINK = "superlink"
_LOCAL = "local"
"""The name of the folders that the environment names."""
_PARAMETERS = "parameters"
_PRESET = "partition.preset"
"""Of a file of the user's: its content is no form."""
_NOT_CHOSEN = ("version", "phase", "dataset.flag")
"""What the phase decides."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAKEN_DATA, _TAKEN_BACKBONES = ("official", "auto", "phantom"), ("untrained",)
_UNSHOWN = ("title", "default")
"""Of a value's schema: its name is its key, and defaults are those of the phase."""


@dataclass(frozen=True)
class ClaimantDefaults:
    """What a claimant takes where a request says nothing of it.

    Args:
        engine: `None` leaves it to the phase.
        superlink: `HOST:PORT` of a SuperLink that is there already; implies the engine.
        root_certificates: PEM file of the authority behind its certificate.
        handover: folder in which its sites' nodes find their shards.
        sites: which take part, as `--sites` takes them.
        data: folders with archives that may be asked for, by the name that they have there.
        backbones: folders with a checkpoint, likewise.
        values: of other keys, by dotted key; folders by their names.
    """

    engine: str | None = None
    superlink: str | None = None
    root_certificates: Path | None = None
    sites: str | None = None
    data: Mapping[str, Path] = field(default_factory=dict)
    backbones: Mapping[str, Path] = field(default_factory=dict)
    handover: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] | None = None) -> ClaimantDefaults:
        """What the environment says: `FEDFORGE_SUPERLINK`, `FEDFORGE_ROOT_CERTIFICATES` and `FEDFORGE_HANDOVER` as
        the options of their names take it; `FEDFORGE_DEFAULTS`, `KEY=VALUE` of any configuration key with spaces
        between them; `FEDFORGE_DATA` and `FEDFORGE_BACKBONE`, folders that are offered, and taken, by the name `local`.

        Args:
            variables: by default those of this process.

        Raises:
            ConfigError: what is no `KEY=VALUE`, or a folder that is not there.
        """
        given = os.environ if variables is None else variables

        def path(name: str) -> Path | None:
            return Path(given[name]) if given.get(name) else None

        values: dict[str, Any] = dict(map(parse_assignment, shlex.split(given.get("FEDFORGE_DEFAULTS", ""))))
        folders: dict[str, dict[str, Path]] = {}
        for key, variable in ((_DATA, "FEDFORGE_DATA"), (_BACKBONE, "FEDFORGE_BACKBONE")):
            folder = given.get(variable)
            folders[key] = named_folders(variable, [f"{_LOCAL}={folder}"] if folder else [])
            values |= dict.fromkeys([key] if folder else [], _LOCAL)
        return cls(
            superlink=given.get("FEDFORGE_SUPERLINK") or None,
            root_certificates=path("FEDFORGE_ROOT_CERTIFICATES"),
            data=folders[_DATA],
            backbones=folders[_BACKBONE],
            handover=path("FEDFORGE_HANDOVER"),
            values=values,
        )

    def completed(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """What a request says and what is taken where it says nothing, with this machine's folders in place of the
        names that they are offered by.

        A name that nobody was offered is no folder of this machine, whatever is there: a page names no path.

        Raises:
            ConfigError: a name that is not offered here.
        """
        completed = {**self.values, **overrides}
        for key, folders, taken in ((_DATA, self.data, _TAKEN_DATA), (_BACKBONE, self.backbones, _TAKEN_BACKBONES)):
            name = completed.get(key)
            if (folder := folders.get(str(name))) is not None:
                completed[key] = str(folder.absolute())
            elif isinstance(name, str) and name not in taken and _NAME.fullmatch(name):
                raise ConfigError(
                    f"{key} is {name!r}, and nothing is offered here by that name.",
                    remedy=f"There is: {', '.join([*taken, *folders])}. A folder is named by its whole path.",
                )
        return completed

    @property
    def chosen_engine(self) -> str | None:
        """The engine of what a request leaves open."""
        return self.engine or (_SUPERLINK if self.superlink else None)

    def options(self, overrides: Mapping[str, Any]) -> list[str]:
        """What a request leaves open, as options of `fedforge`.

        A request that names another engine is not sent over the SuperLink of this one.
        """
        given: dict[str, str | None] = {}
        if overrides.get(_ENGINE) in (None, self.chosen_engine):
            given |= {
                "--engine": self.chosen_engine,
                "--superlink": self.superlink,
                "--root-certificates": str(self.root_certificates.absolute()) if self.root_certificates else None,
                "--handover": str(self.handover.absolute()) if self.handover and self.superlink else None,
            }
        if overrides.get(_SITES) is None:
            given |= {"--sites": self.sites}
        return [part for option, value in given.items() if value is not None for part in (option, value)]


def named_folders(option: str, given: Sequence[str] | None) -> dict[str, Path]:
    """The folders of `NAME=FOLDER`, by name.

    Raises:
        ConfigError: one has no name, a name that means something already, or is not there.
    """
    folders: dict[str, Path] = {}
    for each in given or ():
        name, _, folder = each.partition("=")
        if not _NAME.fullmatch(name) or not folder:
            raise ConfigError(f"{option} {each} is not NAME=FOLDER.", remedy=f"For example {option} lab=/data/lab.")
        if name in (*_TAKEN_DATA, *_TAKEN_BACKBONES) or name in folders:
            raise ConfigError(f"{option}: the name {name} means something already.", remedy="Choose another name.")
        if not Path(folder).is_dir():
            raise ConfigError(f"{option} {each}: {folder} is not a folder.", remedy="Name one that is there.")
        folders[name] = Path(folder)
    return folders


def offer_document(defaults: ClaimantDefaults) -> dict[str, Any]:
    """The body of `PUT /api/offers/CLAIMANT`, from the catalogues and models that requests are checked against.

    Whoever answers checks too says so beside it, by `checks`.
    """
    from fedforge_runtime.config.files import load_preset, preset_names
    from fedforge_runtime.config.partitioners import PARTITIONERS
    from fedforge_runtime.engines import ENGINES

    def configs_of(profile: str) -> dict[str, RunConfig]:
        return {phase: load_run_config(phase, profile=profile, options=defaults.values) for phase in PHASES}

    configs = configs_of(PROFILES[0])
    backbones = dict.fromkeys(config.backbone.name for config in configs.values())
    return {
        "phases": [{"name": phase} for phase in PHASES],
        "profiles": [{"name": profile} for profile in PROFILES],
        "engines": [{"name": engine} for engine in ENGINES],
        "partitions": [
            {
                "name": spec.name,
                "description": spec.description,
                "parameters": [asdict(each) for each in spec.parameters],
            }
            for spec in PARTITIONERS.values()
        ],
        "presets": [{"name": name, "description": load_preset(name).story.strip()} for name in preset_names()],
        "strategies": _strategies(),
        "backbones": [
            *({"name": name} for name in backbones if name not in defaults.backbones),
            {"name": "untrained", "description": "random weights, for trying without a network"},
            *({"name": name, "description": "a checkpoint of whoever carries it out"} for name in defaults.backbones),
        ],
        "data": [
            {"name": "official", "description": "the published archive, downloaded when it is absent"},
            {"name": "auto", "description": "the published archive, else generated images"},
            {"name": "phantom", "description": "generated images, which say nothing about medical ones"},
            *({"name": name, "description": "a folder of whoever carries it out"} for name in defaults.data),
        ],
        "overrides": override_schemas(),
        "defaults": {
            "engine": defaults.chosen_engine,
            "superlink": defaults.superlink,
            "sites": [int(each) if each.isdecimal() else each for each in map(str.strip, defaults.sites.split(","))]
            if defaults.sites
            else None,
            "values": {phase: _values(config) for phase, config in configs.items()},
            "by_profile": {
                profile: {phase: _differing(configs[phase], other) for phase, other in configs_of(profile).items()}
                for profile in list(PROFILES)[1:]
            },
        },
    }


def _differing(first: RunConfig, other: RunConfig) -> dict[str, Any]:
    """The values of the other that are not those of the first."""
    values = _values(first)
    return {key: value for key, value in _values(other).items() if value != values.get(key)}


def _strategies() -> list[dict[str, Any]]:
    from fedforge_runtime.federation.strategies import STRATEGIES

    return [
        {
            "name": name,
            "description": spec.summary,
            "parameters": [
                {
                    "name": parameter,
                    "type": "integer" if isinstance(default, int) else "number",
                    "default": default,
                    "minimum": 0,
                }
                for parameter, default in spec.parameters.items()
            ],
        }
        for name, spec in STRATEGIES.items()
    ]


def _values(config: RunConfig) -> dict[str, Any]:
    return dict(dotted_items(config.model_dump(mode="json")))


def override_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each key's value by dotted key; parameters stand beside what they belong to."""
    whole = RunConfig.model_json_schema()
    return dict(_leaves(RunConfig, whole, whole["$defs"], ""))


def _leaves(
    model: type[BaseModel], schema: Mapping[str, Any], definitions: Mapping[str, Any], above: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in model.model_fields.items():
        key, described = f"{above}{name}", schema["properties"][name]
        section = _section(found.annotation)
        if section is None and key not in _NOT_CHOSEN and name != _PARAMETERS:
            yield key, {word: value for word, value in described.items() if word not in _UNSHOWN}
        elif section is not None:
            if isinstance(found.annotation, UnionType):  # it may be left out
                yield key, {"type": "null"}
            if key != _PRESET:
                yield from _leaves(section, definitions[section.__name__], definitions, f"{key}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that a field is, or may be."""
    choices = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)), None)
