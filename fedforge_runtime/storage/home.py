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


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def inputs(self) -> Path:
        """The keys and paths of the artifacts that the run was started on."""
        return self.path / "inputs.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def outbox(self) -> Path:
        """How far the events were taken by each monitor."""
        return self.path / "outbox.json"

    @property
    def refused_events(self) -> Path:
        """Lines of the log that a monitor did not take, and why."""
        return self.path / "events-refused.jsonl"

    @property
    def rounds(self) -> Path:
        return self.path / "rounds.jsonl"

    @property
    def rounds_table(self) -> Path:
        return self.path / "rounds.csv"

    @property
    def clients_table(self) -> Path:
        return self.path / "clients.csv"

    @property
    def participants(self) -> Path:
        """Who took part in each round; `--participants` replays it."""
        return self.path / "participants.json"

    @property
    def replay(self) -> Path:
        """The participants that this run was told to replay."""
        return self.path / "replay.json"

    @property
    def seconds(self) -> Path:
        """How long the parts of the last attempt took."""
        return self.path / "seconds.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def test_predictions(self) -> Path:
        """The final model's logits on the test split, and the labels."""
        return self.path / "test_predictions.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def bounds(self) -> Path:
        """What a centralized model and each client alone reach on the same features and budget."""
        return self.path / "bounds.json"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def lock(self) -> Path:
        """Held by the process that executes the run, and released by the kernel when it dies."""
        return self.path / ".lock"

    def exists(self) -> bool:
        return self.config.is_file()


@dataclass(frozen=True)
class Home:
    """The folder that holds data, artifacts and runs."""

    root: Path

    @classmethod
    def resolve(cls, option: Path | None) -> Home:
        """The `--home` option, else `FEDFORGE_HOME`, else `./.fedforge`."""
        chosen = option or Path(os.environ.get("FEDFORGE_HOME", "") or ".fedforge")
        return cls(chosen.expanduser().absolute())

    @property
    def data(self) -> Path:
        return self.root / "data" / "medmnist"

    @property
    def assets(self) -> Path:
        return self.root / "assets"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Downloaded backbones, in Hugging Face's cache layout."""
        return self.root / "models"

    @property
    def federation(self) -> Path:
        """The state, keys, logs and database of a federation that outlives runs."""
        return self.root / "federation"

    @property
    def flower(self) -> Path:
        """`FLWR_HOME` of Flower's commands and processes that belong to that federation."""
        return self.federation / "flwr"

    @property
    def shards(self) -> Path:
        """The rows of sites, by the key of their shards."""
        return self.assets / "shard"

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
        read_only = bool(disk.f_flag & os.ST_RDONLY)
        if not existing.is_dir() or read_only or not os.access(existing, os.W_OK | os.X_OK):
            raise StorageError(
                f"the home folder {self.root} cannot be written ({existing} is not a writable folder).",
                remedy="Choose another with --home DIR or FEDFORGE_HOME.",
            )
        return self
