"""A configuration as the request that a monitor keeps: a phase, a profile, and the keys that differ from it."""

from __future__ import annotations

import getpass
from pathlib import Path

from fedforge_runtime.clock import utc_now
from fedforge_runtime.config import RunConfig, dotted_items, load_run_config
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.runs.attempts import assignments_of
from monitor.schema import RunRequest

Value = str | int | float | bool | None | list[str | int | float | bool | None]
_PATHS = ("dataset.source", "backbone.name")
"""Keys whose value may be a file or folder: whoever carries the request out works in another folder."""
_SITES = "federation.sites"
_HERE = "Start such a run where it is carried out, by: fedforge run --monitor URL"


def whole_request(config: RunConfig, *, profile: str) -> RunRequest:
    """The request that a run which is started here answers, so that it can be asked for again.

    What a request has no room for is left out of it; the whole configuration is in the run's description.
    """
    try:
        overrides = request_overrides(config, profile=profile)
    except ConfigError:
        overrides = {key: value for key, value in _differences(config, profile=profile).items() if _fits(value)}
    return RunRequest(
        phase=config.phase,
        profile=profile,
        overrides=overrides,
        requested_by=getpass.getuser(),
        requested_at=utc_now(),
    )


def _fits(value: object) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(part is None or isinstance(part, (str, int, float, bool)) for part in parts)


def request_overrides(config: RunConfig, *, profile: str) -> dict[str, Value]:
    """The keys by which `config` differs from its phase's profile, dotted, with their values.

    Raises:
        ConfigError: a request has no room for one of them.
    """
    wanted = _wanted(config)
    overrides = _differences(config, profile=profile)
    made = load_run_config(config.phase, profile=profile, assignments=assignments_of(overrides))
    lost = dict(dotted_items(made.model_dump(mode="json")))
    for key in sorted(wanted.keys() | lost.keys()):
        if key != _SITES and wanted.get(key) != lost.get(key):
            raise ConfigError(f"a monitor's request has no room for {key} as it is given.", remedy=_HERE)
    return overrides


def _wanted(config: RunConfig) -> dict[str, Value]:
    """Every key, dotted, with its value as a request has it."""
    wanted = dict(dotted_items(config.model_dump(mode="json")))
    wanted |= {key: _absolute(wanted[key]) for key in _PATHS}
    if isinstance(sites := wanted[_SITES], list):
        wanted[_SITES] = ",".join(map(str, sites))
    wanted["runtime.monitor"] = None  # it is the one that is asked
    return wanted


def _differences(config: RunConfig, *, profile: str) -> dict[str, Value]:
    wanted = _wanted(config)
    plain = dict(dotted_items(load_run_config(config.phase, profile=profile).model_dump(mode="json")))
    renamed = tuple(
        key.removesuffix("name") for key in wanted if key.endswith(".name") and wanted[key] != plain.get(key)
    )
    return {
        key: value
        for key, value in wanted.items()
        if key not in plain or plain[key] != value or key.startswith(renamed)
    }


def _absolute(value: str) -> str:
    path = Path(value).expanduser()
    return str(path.absolute()) if path.exists() else value
