"""Where everything lives: the only place that builds paths under `FEDFORGE_HOME`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fedforge_runtime.errors import ConfigError, StorageError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_run_id(run_id: str) -> str:
    """Return `run_id` when it is a plain name, else raise `ConfigError`: it becomes a folder's name."""
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"run id {run_id!r} is not a plain name.",
            remedy="Use 1 to 64 letters, digits, dots, dashes or underscores, starting with a letter or digit.",
        )
    return run_id


class _Entry:
    """What a folder has under a fixed name."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __get__(self, owner: Home | RunFolder, _: type[Home | RunFolder]) -> Path:
        return (owner.root if isinstance(owner, Home) else owner.path).joinpath(*self._names)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    config = _Entry("config.yaml")
    inputs = _Entry("inputs.json")
    """The keys and paths of the artifacts that the run was started on."""
    events = _Entry("events.jsonl")
    outbox = _Entry("outbox.json")
    """How far the events were taken by each monitor."""
    refused_events = _Entry("events-refused.jsonl")
    """Lines of the log that a monitor did not take, and why."""
    rounds = _Entry("rounds.jsonl")
    rounds_table = _Entry("rounds.csv")
    clients_table = _Entry("clients.csv")
    participants = _Entry("participants.json")
    """Who took part in each round; `--participants` replays it."""
    replay = _Entry("replay.json")
    """The participants that this run was told to replay."""
    seconds = _Entry("seconds.json")
    """How long the parts of the last attempt took."""
    metrics = _Entry("metrics.json")
    test_predictions = _Entry("test_predictions.safetensors")
    """The final model's logits on the test split, and the labels."""
    report = _Entry("report.html")
    bounds = _Entry("bounds.json")
    """What a centralized model and each client alone reach on the same features and budget."""
    manifest = _Entry("manifest.json")
    checkpoints = _Entry("checkpoints")
    model = _Entry("model")
    lock = _Entry(".lock")
    """Held by the process that executes the run, and released by the kernel when it dies."""

    @property
    def run_id(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return self.config.is_file()


@dataclass(frozen=True)
class Home:
    """The folder that holds data, artifacts and runs."""

    root: Path

    data = _Entry("data", "medmnist")
    assets = _Entry("assets")
    runs = _Entry("runs")
    models = _Entry("models")
    """Downloaded backbones, in Hugging Face's cache layout."""
    federation = _Entry("federation")
    """The state, keys, logs and database of a federation that outlives runs."""
    flower = _Entry("federation", "flwr")
    """`FLWR_HOME` of Flower's commands and processes that belong to that federation."""
    shards = _Entry("assets", "shard")
    """The rows of sites, by the key of their shards."""

    @classmethod
    def resolve(cls, option: Path | None) -> Home:
        """The `--home` option, else `FEDFORGE_HOME`, else `./.fedforge`."""
        return cls(Path(option or os.environ.get("FEDFORGE_HOME") or ".fedforge").expanduser().absolute())

    def audit_exceptions(self, fingerprint: str) -> Path:
        """What people decided to leave as it is in the data with this fingerprint."""
        return self.root / "data" / "audit-exceptions" / f"{fingerprint}.json"

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.runs / check_run_id(run_id))

    def require_writable(self) -> Self:
        """Itself; raises `StorageError` unless files can be made here. An unused home is left as it was."""
        existing = self.root
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        disk = os.statvfs(existing)
        if disk.f_blocks and not disk.f_bfree:
            raise StorageError(
                f"the home folder {self.root} cannot be written: no space left on its disk.",
                remedy="Free some space, or choose another with --home DIR or FEDFORGE_HOME.",
            )
        if not existing.is_dir() or disk.f_flag & os.ST_RDONLY or not os.access(existing, os.W_OK | os.X_OK):
            raise StorageError(
                f"the home folder {self.root} cannot be written ({existing} is not a writable folder).",
                remedy="Choose another with --home DIR or FEDFORGE_HOME.",
            )
        return self
