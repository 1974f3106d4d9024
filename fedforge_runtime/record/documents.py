"""What the files of a run's folder say of it; a damaged file or line is left out, and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fedforge_runtime.errors import DataError, sentences
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.record.comparison import Bounds
from fedforge_runtime.record.records import RoundRecord, scan_records
from fedforge_runtime.record.state import RunState, run_state
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.wording import some_of

Scores = dict[str, float]
T = TypeVar("T")


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class Metrics(TypedDict):
    """`metrics.json`: the scores of the final model."""

    model_sha256: str
    test: Scores


class Manifest(TypedDict):
    """`manifest.json`: everything that the final model was made from."""

    completed_at: Annotated[str, AfterValidator(_moment)]
    config: dict[str, Any]
    """`RunConfig`."""
    inputs: dict[str, Any]
    """`RunInputs`."""
    fedforge: dict[str, Any]
    """Version and commit."""
    python: NotRequired[str]
    packages: dict[str, str]


class Data(TypedDict):
    """Of the data that a model is scored on, what stands beside every score."""

    source: str
    fingerprint: str
    official: bool


def _with_centralized(bounds: Bounds) -> Bounds:
    if "centralized" not in bounds:
        raise ValueError("the scores of all rows in one place are missing")
    return bounds


_METRICS, _MANIFEST, _DATA = TypeAdapter(Metrics), TypeAdapter(Manifest), TypeAdapter(Data)
_BOUNDS: TypeAdapter[Bounds] = TypeAdapter(Annotated[Bounds, AfterValidator(_with_centralized)])
_SECONDS = TypeAdapter(dict[str, float])


@dataclass(frozen=True)
class RunDocuments:
    """A run as its files have it. What is not there yet, or is damaged, is empty or `None`."""

    state: RunState
    records: list[RoundRecord]
    inputs: RunInputs | None
    metrics: Metrics | None
    bounds: Bounds
    seconds: Mapping[str, float]
    manifest: Manifest | None
    damage: list[str]
    """One sentence for each file that was left out, or of which lines were."""


def read_documents(folder: RunFolder) -> RunDocuments:
    """Everything that can be read of a run but its configuration, whose damage is an error of its own."""
    damage: list[str] = []

    def unless_damaged(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except DataError as error:
            damage.append(sentences(error.message, "It is left out."))
            return None

    def document(file: Path, shape: TypeAdapter[T]) -> T | None:
        return unless_damaged(lambda: _read(file, shape)) if file.exists() else None

    state = run_state(folder)
    records, lost_records = scan_records(folder)
    for file, lines in ((folder.events, state.damaged_lines), (folder.rounds, lost_records)):
        if lines:
            which = f"line{'s' if len(lines) > 1 else ''} {some_of(lines, 5)} {'are' if len(lines) > 1 else 'is'}"
            damage.append(f"{file}: {which} damaged, and left out.")
    inputs = unless_damaged(lambda: read_inputs(folder))
    metrics = document(folder.metrics, _METRICS)
    bounds = document(folder.bounds, _BOUNDS) or Bounds()
    manifest = document(folder.manifest, _MANIFEST)
    seconds: Mapping[str, float] = {}
    try:
        seconds = _SECONDS.validate_python(read_json(folder.seconds)) if folder.seconds.exists() else {}
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
        _DATA.validate_python(inputs.data)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{folder.inputs} is damaged: {_first(error)}.",
            remedy="Move it away: the run then finds its inputs again by its configuration.",
        ) from error
    return inputs


def read_result(folder: RunFolder) -> tuple[Metrics, Manifest]:
    """`metrics.json` and `manifest.json` of a completed run.

    Raises:
        DataError: one is damaged.
    """
    return _read(folder.metrics, _METRICS), _read(folder.manifest, _MANIFEST)


def _read(file: Path, shape: TypeAdapter[T]) -> T:
    try:
        value: T = read_json(file)
        shape.validate_python(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {_first(error)}.", remedy="Restore it from a copy.") from error
    return value


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(error) or type(error).__name__
