"""Checkpoints: after each round the whole state of the server, complete or absent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors.numpy import load_file, save

from fedforge_runtime.errors import RunError
from fedforge_runtime.learning.parameters import Parameters, model_sha256
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.record.records import RoundRecord
from fedforge_runtime.storage.artifacts import children, publish_folder, sha256_file, write_json

_MODEL = "model.safetensors"
_SERVER_STATE = "server_state.safetensors"
_STANDARDISATION = "standardisation.safetensors"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """The server's state after `round`; round 0 is the state before the first."""

    round: int
    parameters: Parameters
    server_state: Mapping[str, NDArray[Any]]
    standardisation: Standardisation | None
    records: list[RoundRecord]
    """One for each round so far."""

    @property
    def model_sha256(self) -> str:
        return model_sha256(self.parameters)


class CheckpointStore:
    """The checkpoints of one run, each a folder `round-00001` that appears whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint durably and return its folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        final = self._path(checkpoint.round)
        partial = final.with_name(f".{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / _MODEL).write_bytes(save(dict(checkpoint.parameters)))
        if checkpoint.server_state:
            (partial / _SERVER_STATE).write_bytes(save(dict(checkpoint.server_state)))
        if checkpoint.standardisation:
            (partial / _STANDARDISATION).write_bytes(save(vars(checkpoint.standardisation)))
        manifest = {
            "round": checkpoint.round,
            "model_sha256": checkpoint.model_sha256,
            "files": {path.name: sha256_file(path) for path in sorted(partial.iterdir())},
            "record": checkpoint.records[-1].model_dump(mode="json") if checkpoint.records else None,
        }
        write_json(partial / _MANIFEST, manifest)
        shutil.rmtree(final, ignore_errors=True)
        publish_folder(partial, final)
        return final

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or `None` before the first.

        Raises:
            RunError: a file is missing, cannot be read, or is not the one that the manifest names.
        """
        folders = [path.name for path in children(self._folder) if path.name.startswith("round-")]
        numbers = [name.removeprefix("round-") for name in folders]
        rounds = sorted(int(number) for number in numbers if number.isdecimal())
        if not rounds:
            return None
        newest, path = rounds[-1], self._path(rounds[-1])
        files = _read_manifest(path).files
        if not all((path / name).is_file() and sha256_file(path / name) == digest for name, digest in files.items()):
            raise _damaged(path)
        scaling = load_file(path / _STANDARDISATION) if _STANDARDISATION in files else None
        return Checkpoint(
            round=newest,
            parameters=load_file(path / _MODEL),
            server_state=load_file(path / _SERVER_STATE) if _SERVER_STATE in files else {},
            standardisation=Standardisation(**scaling) if scaling else None,
            records=[self._record(number) for number in range(1, newest + 1)],
        )

    def _record(self, round_number: int) -> RoundRecord:
        record = _read_manifest(self._path(round_number)).record
        if record is None:
            raise _damaged(self._path(round_number))
        return record

    def _path(self, round_number: int) -> Path:
        return self._folder / f"round-{round_number:05d}"


class _Manifest(BaseModel):
    round: int
    model_sha256: str
    files: dict[str, str]
    record: RoundRecord | None


def _read_manifest(folder: Path) -> _Manifest:
    try:
        return _Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> RunError:
    return RunError(
        f"the checkpoint {folder} is damaged: its files are not those that its manifest names.",
        remedy="Remove that folder, and those of later rounds, to resume from the round before.",
    )
