"""What ServerApp and ClientApp need to know of a run, carried by Flower's flat run config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fedforge_runtime.config import RunConfig
from fedforge_runtime.devices import DeviceDecision
from fedforge_runtime.home import RunFolder

_KEY = "fedforge-settings"


class RunInputs(BaseModel):
    """The artifacts that a run is made of, by key and by path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    partition: str
    preprocess: str
    features: str | None
    """`None` on the un-cached path."""
    tokens: str | None = None
    """What the last block takes; `None` where it is not trained, and on the un-cached path."""
    keys: dict[str, str]
    """Artifact kind -> key."""
    backbone: str
    """Folder of the checkpoint."""
    backbone_name: str
    backbone_sha256: str
    backbone_trained: bool
    device: DeviceDecision = DeviceDecision()
    """Where the clients train, and why there."""
    block_from: str | None = None
    """The run whose last block stands in for the backbone's own."""
    feature_size: int
    class_names: list[str]
    data: dict[str, Any]
    """`DatasetFacts` of the images."""


class _Wire(BaseModel):
    run_folder: str
    attempt: int
    config: RunConfig
    inputs: RunInputs
    participants: str | None


@dataclass(frozen=True)
class RunSettings:
    """One attempt at one run."""

    folder: RunFolder
    attempt: int
    config: RunConfig
    inputs: RunInputs
    participants_file: Path | None = None

    def to_run_config(self) -> dict[str, str]:
        """As Flower carries it from the ServerApp's process to the clients'."""
        wire = _Wire(
            run_folder=str(self.folder.path),
            attempt=self.attempt,
            config=self.config,
            inputs=self.inputs,
            participants=str(self.participants_file) if self.participants_file else None,
        )
        return {_KEY: wire.model_dump_json()}

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, Any]) -> RunSettings:
        """What `to_run_config` gave; the last few are remembered, since clients ask with every message."""
        return _read(str(run_config[_KEY]))


@lru_cache(maxsize=4)
def _read(text: str) -> RunSettings:
    wire = _Wire.model_validate_json(text)
    return RunSettings(
        folder=RunFolder(Path(wire.run_folder)),
        attempt=wire.attempt,
        config=wire.config,
        inputs=wire.inputs,
        participants_file=Path(wire.participants) if wire.participants else None,
    )
