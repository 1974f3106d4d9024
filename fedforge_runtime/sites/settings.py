"""What ServerApp and ClientApp need to know of a run.

The ServerApp's part travels in Flower's flat run config. The ClientApp's comes with every message, so that a client
needs nothing but the message, whoever started the run and however often its process was replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from flwr.app import ConfigRecord, RecordDict
from pydantic import BaseModel, Field, TypeAdapter

from fedforge_runtime.config import LearningConfig, RunConfig
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.storage.home import RunFolder
from monitor.schema import Identifier

PARTITION_ID = "partition-id"
"""Entry of a node's configuration, and of its answers: the number of its site. The name is Flower's."""
SETTINGS = "settings"
"""Name of the record in which a message's settings are."""
_KEY = "fedforge-settings"
_TEXT = "json"


class DataFit(BaseModel, extra="forbid", frozen=True):
    """What the data that a site brings must be, to take part in a run."""

    phase: str
    class_names: tuple[str, ...]
    """By class id."""
    backbone_sha256: str
    features: bool
    """The run's models read features, and not images, where a round trains the head alone."""
    tokens: bool
    """The same, where a round trains the last block."""

    @classmethod
    def of(cls, config: RunConfig, inputs: RunInputs) -> DataFit:
        """What a run needs."""
        return cls(
            phase=config.phase,
            class_names=tuple(inputs.class_names),
            backbone_sha256=inputs.backbone_sha256,
            features=inputs.features is not None,
            tokens=inputs.tokens is not None,
        )


class SiteSettings(BaseModel, extra="forbid", frozen=True):
    """What a client is told of the run with each message.

    Whoever holds the server can send anything: nothing here is a path, and what names a folder below a site's own
    cannot lead out of it.
    """

    run_id: Identifier
    attempt: int
    seed: int
    threads: int
    learning: LearningConfig
    shard: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")] | None = None
    """The key of the shards that were made for the run, one of which the client must hold where it reads no artifacts
    of all sites."""
    own_data: DataFit | None = None
    """Else what the client's own data must be."""

    def to_record(self) -> ConfigRecord:
        """As a record of a message's content, named `SETTINGS`."""
        return ConfigRecord({_TEXT: self.model_dump_json(exclude_defaults=True)})

    @classmethod
    def of(cls, content: RecordDict) -> SiteSettings:
        """What `to_record` gave; the last few are remembered, since they come with every message.

        Raises:
            ConfigError: the message brings none, or they are of another version of FedForge.
        """
        record = content.config_records.get(SETTINGS)
        if record is None:
            raise ConfigError("the message brings no settings: it comes from no FedForge server.")
        try:
            return _read_site_settings(str(record[_TEXT]))
        except ValueError as error:
            raise ConfigError(
                "the server's settings are not understood",
                cause=error,
                remedy="Install the same version of FedForge on the server and at the sites.",
            ) from error


@dataclass(frozen=True)
class RunSettings:
    """One attempt at one run."""

    folder: RunFolder
    attempt: int
    config: RunConfig
    inputs: RunInputs
    participants_file: Path | None = None
    shard: str | None = None
    """Key of the shards, where sites were given theirs; `None` where clients read the artifacts themselves, and
    where the sites bring their own data."""

    @property
    def own_data(self) -> bool:
        """Whether the sites bring their own data."""
        return self.config.federation.site_data == "own"

    def for_sites(self) -> SiteSettings:
        """What the clients are told."""
        return SiteSettings(
            run_id=self.folder.run_id,
            attempt=self.attempt,
            seed=self.config.seed,
            threads=self.config.runtime.threads_per_worker,
            learning=self.config.learning,
            shard=self.shard,
            own_data=DataFit.of(self.config, self.inputs) if self.own_data else None,
        )

    def to_run_config(self) -> dict[str, str]:
        """As Flower carries it to the ServerApp."""
        return {_KEY: _RUN_SETTINGS.dump_json(self).decode()}

    @staticmethod
    def from_run_config(run_config: Mapping[str, Any]) -> RunSettings:
        """What `to_run_config` gave."""
        return _RUN_SETTINGS.validate_json(str(run_config[_KEY]))


_RUN_SETTINGS = TypeAdapter(RunSettings)
_read_site_settings = lru_cache(maxsize=4)(SiteSettings.model_validate_json)
