"""The artifacts that a run is made of, as a document: recorded beside the run, and read wherever its rows are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fedforge_runtime.errors import RunError
from fedforge_runtime.hardware.devices import DeviceDecision

_FOLDERS = ("dataset", "partition", "preprocess", "features", "tokens", "backbone")


class RunInputs(BaseModel, extra="forbid", frozen=True):
    """The artifacts that a run is made of, by key and by path."""

    dataset: str
    partition: str | None
    """`None` where the sites bring their own data."""
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
    """`DatasetFacts` of the images; without a partition, `rows` are those of the central splits."""

    @property
    def folders(self) -> dict[str, str]:
        """Of the artifacts and the backbone, what there is, by its field, which names the folder in a shard too."""
        return {name: path for name in _FOLDERS if (path := getattr(self, name)) is not None}

    @property
    def partition_folder(self) -> Path:
        """Who holds which rows.

        Raises:
            RunError: nobody here knows.
        """
        if self.partition is None:
            raise RunError(
                "the sites of the run have their own data: their rows are not on this machine.",
                remedy="What they report of them stands in the run's records.",
            )
        return Path(self.partition)
