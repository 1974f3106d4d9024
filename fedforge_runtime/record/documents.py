"""What the files of a run's folder say of it; a damaged file or line is left out, and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fedforge_runtime.errors import DataError, sentences
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.record.records import RoundRecord, scan_records
from fedforge_runtime.record.state import RunState, run_state
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.wording import some_of

Scores = dict[str, float]


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Metrics(_Document):
    model_sha256: str
    test: Scores


class _Manifest(_Document):
    completed_at: datetime
    config: dict[str, Any]
    inputs: dict[str, Any]
    fedforge: dict[str, Any]
    packages: dict[str, str]


class _Model(_Document):
    validation: Scores
    test: Scores


class _Site(_Model):
    client: int
    rows: int


class _Bounds(_Document):
    budget_epochs: int = 0
    centralized: _Model
    closed_form: _Model | None = None
    local: list[_Site] = []


class _Data(_Document):
    source: str
    fingerprint: str
    official: bool


_Seconds = TypeAdapter(dict[str, float])


@dataclass(frozen=True)
class RunDocuments:
    """A run as its files have it. What is not there yet, or is damaged, is empty or `None`."""

    state: RunState
    records: list[RoundRecord]
    inputs: RunInputs | None
    metrics: Mapping[str, Any]
    bounds: Mapping[str, Any]
    seconds: Mapping[str, float]
    manifest: Mapping[str, Any]
    damage: list[str]
    """One sentence for each file that was left out, or of which lines were."""


def read_documents(folder: RunFolder) -> RunDocuments:
    """Everything that can be read of a run but its configuration, whose damage is an error of its own."""
    damage: list[str] = []

    def document(file: Path, shape: type[BaseModel]) -> Mapping[str, Any]:
        try:
            return _read(file, shape) if file.exists() else {}
        except DataError as error:
            damage.append(sentences(error.message, "It is left out."))
            return {}

    state = run_state(folder)
    records, lost_records = scan_records(folder)
    for file, lines in ((folder.events, state.damaged_lines), (folder.rounds, lost_records)):
        if lines:
            damage.append(_lost(file, lines))
    inputs = None
    try:
        inputs = read_inputs(folder)
    except DataError as error:
        damage.append(sentences(error.message, "It is left out."))
    metrics = document(folder.metrics, _Metrics)
    bounds = document(folder.bounds, _Bounds)
    manifest = document(folder.manifest, _Manifest)
    seconds: Mapping[str, float] = {}
    try:
        seconds = _Seconds.validate_python(read_json(folder.seconds)) if folder.seconds.exists() else {}
    except (ValueError, RecursionError):
        damage.append(f"{folder.seconds} is damaged. It is left out.")
    return RunDocuments(state, records, inputs, metrics, bounds, seconds, manifest, damage)


def read_inputs(folder: RunFolder) -> RunInputs | None:
    """What the run is made of; `None` before it is known.

    Raises:
        DataError: the file is damaged.
    """
    if not folder.inputs.exists():
        return None
    try:
        inputs = RunInputs.model_validate(read_json(folder.inputs))
        _Data.model_validate(inputs.data)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{folder.inputs} is damaged: {_first(error)}.",
            remedy="Move it away: the run then finds its inputs again by its configuration.",
        ) from error
    return inputs


def read_result(folder: RunFolder) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """`metrics.json` and `manifest.json` of a completed run.

    Raises:
        DataError: one is damaged.
    """
    return _read(folder.metrics, _Metrics), _read(folder.manifest, _Manifest)


def _read(file: Path, shape: type[BaseModel]) -> Mapping[str, Any]:
    try:
        value: dict[str, Any] = read_json(file)
        shape.model_validate(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {_first(error)}.", remedy="Restore it from a copy.") from error
    return value


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(error) or type(error).__name__


def _lost(file: Path, lines: list[int]) -> str:
    shown = some_of(lines, 5)
    return f"{file}: {f'lines {shown} are' if len(lines) > 1 else f'line {shown} is'} damaged, and left out."
