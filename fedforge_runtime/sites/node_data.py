"""What a client holds: the rows of its site, and, beside the run, its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedforge_runtime.errors import ConfigError
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.sites.settings import PARTITION_ID, SiteSettings
from fedforge_runtime.sites.shards import SHARD_CLIENT, find_own_shard, find_shard
from fedforge_runtime.storage.home import Home

SHARDS = "shards"
"""Entry of a node's configuration: the folder of the shards that were given to it, by default those of its home; or
of the shard that was made of the site's own data."""
HOME = "home"
"""Entry of a node's configuration: its home, where the shards are that were given to it."""
INPUTS = "inputs"
"""Entry of a node's configuration, where it is of the machine of the run: the artifacts of all sites."""
EVENTS = "events"
"""Entry of a node's configuration, where it is of the machine of the run: the run's event log."""


@dataclass(frozen=True)
class SiteRows:
    """The artifacts that hold a site's rows, and the site's number in them."""

    inputs: RunInputs
    number: int


def site_rows(settings: SiteSettings, node_config: Mapping[str, Any]) -> SiteRows:
    """Where the rows of the site of a node are: in the run's artifacts, or in the shard that the node holds.

    Paths come from the node's own configuration alone; the settings, which somebody else sends, say only which run
    it is.

    Raises:
        DataError: the node does not hold the shard that the run asks for, or data of its own that fit the run.
    """
    site = int(node_config[PARTITION_ID])
    if node_config.get(INPUTS):
        return SiteRows(_read_inputs(str(node_config[INPUTS])), site)
    folder = Path(str(node_config[SHARDS])) if node_config.get(SHARDS) else None
    if settings.own_data:
        shard = _own_shard(folder, site=site, mode=settings.learning.mode, fit=settings.own_data)
    elif settings.shard:
        shard = _given_shard(folder or _home(node_config).shards, key=settings.shard, site=site)
    else:
        raise ConfigError("the server's settings say nothing of the data at the sites.")
    return SiteRows(shard.inputs, SHARD_CLIENT)


def events_log(node_config: Mapping[str, Any]) -> Path | None:
    """The run's log, where the node is of the machine of the run; any other's events travel inside its answers."""
    return Path(str(node_config[EVENTS])) if node_config.get(EVENTS) else None


def _home(node_config: Mapping[str, Any]) -> Home:
    home = node_config.get(HOME)
    return Home.resolve(Path(str(home)) if home else None)


_read_inputs = lru_cache(maxsize=4)(RunInputs.model_validate_json)
_given_shard = lru_cache(maxsize=16)(find_shard)
_own_shard = lru_cache(maxsize=16)(find_own_shard)
