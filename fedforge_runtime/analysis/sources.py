"""Where a run is read from: a home's folder of it, or a file that a monitor has exported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedforge_runtime.analysis.run_data import RunData
from fedforge_runtime.analysis.tables import CLIENTS, ROUNDS, Row, client_of, clients_of, events_frame, frame, rounds_of
from fedforge_runtime.errors import DataError, RunError, cause_in_words
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.record.documents import read_documents
from fedforge_runtime.record.records import client_rows, round_rows
from fedforge_runtime.runs.baseline import scores_for
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.storage.run_ids import find_run, list_runs
from fedforge_runtime.telemetry.emitter import read_events
from fedforge_runtime.wording import some_of
from monitor.schema import Event, RunBounded, SiteBounded, event_adapter

_BOUNDS = {
    "model": "str",
    "client": "Int64",
    "rows": "Int64",
    **dict.fromkeys(METRIC_NAMES, "float64"),
}
_HOW_TO_EXPORT = "Export one with: curl --output RUN_ID.ndjson MONITOR/api/runs/RUN_ID/export"


def find_home(start: Path | None = None) -> Home:
    """`FEDFORGE_HOME`, else the nearest `.fedforge` in `start` (by default here) or above it.

    Raises:
        RunError: there is none.
    """
    if os.environ.get("FEDFORGE_HOME"):
        return Home.resolve(None)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / ".fedforge" / "runs").is_dir():
            return Home(folder / ".fedforge")
    raise RunError(
        f"there is no home with runs (.fedforge) in {here} or above it.",
        remedy="Make a run with `fedforge demo`, or name the home in FEDFORGE_HOME.",
    )


def newest_run(home: Home) -> RunFolder:
    """The run of a home that was started last, of those that have completed a round.

    Raises:
        RunError: there is none.
        OSError: the home cannot be read.
    """
    for folder in reversed(list_runs(home)):
        if folder.rounds_table.is_file() and folder.rounds_table.stat().st_size:
            return folder
    raise RunError(f"no run in {home.runs} has completed a round.", remedy="Make one with: fedforge demo")


def read_run(home: Home, run_id: str | None = None) -> RunData:
    """A run of a home, running ones included; by default the newest that has completed a round.

    Its rounds and sites are those of the run's records, its bounds those of `bounds.json`, its events those of its log.

    Raises:
        RunError: there is no such run.
        DataError: it has no event log.
    """
    folder = newest_run(home) if run_id is None else find_run(run_id, home)
    if not folder.events.is_file():
        raise DataError(
            f"{folder.events} is missing: nothing is known of the run {folder.run_id!r}.",
            remedy="Restore it from a copy, or read what a monitor exports of the run.",
        )
    documents, log = read_documents(folder), read_events(folder.events)
    return RunData(
        run_id=folder.run_id,
        rounds=frame(round_rows(documents.records), ROUNDS),
        clients=frame(client_rows(documents.records), CLIENTS),
        events=events_frame(log),
        bounds=frame(_bounds_of_document(documents.bounds), _BOUNDS),
        log=log,
        damage=documents.damage,
    )


def read_export(file: Path) -> RunData:
    """A run from the events that a monitor has exported (`GET /api/runs/RUN_ID/export`), or from a log alone.

    Raises:
        DataError: the file cannot be read, holds no event, or those of several runs.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"the export {file} cannot be read: {cause_in_words(error)}.", remedy=_HOW_TO_EXPORT) from error
    log, damage = _events_of(lines, file)
    runs = sorted({event.run_id for event in log})
    if len(runs) != 1:
        what = f"holds events of {len(runs)} runs: {', '.join(runs[:3])}" if runs else "holds no event of a run"
        raise DataError(f"{file} is no export of a run: it {what}.", remedy=_HOW_TO_EXPORT)
    return RunData(
        run_id=runs[0],
        rounds=frame(rounds_of(log), ROUNDS),
        clients=frame(clients_of(log), CLIENTS),
        events=events_frame(log),
        bounds=frame(_bounds_of_events(log), _BOUNDS),
        log=log,
        damage=damage,
    )


def read_baseline(run: RunData, baselines: Path) -> dict[str, float] | None:
    """Test scores, by metric, of the baseline that is accepted for a run's phase and data.

    `None` where there is none in the folder, or it is damaged, or the run does not say what its data are.
    """
    described = run.description
    return scores_for(described.phase, described.data.fingerprint, baselines) if described else None


def _events_of(lines: Sequence[bytes], file: Path) -> tuple[list[Event], list[str]]:
    """The events of lines, each once, and what is wrong with others."""
    events: dict[object, Event] = {}
    damaged = []
    for number, line in enumerate(lines, start=1):
        try:
            event = event_adapter.validate_json(line)
            events.setdefault(event.event_id, event)
        except ValueError:
            damaged += [number] if line.strip() else []
    damage = [f"{file.name}: no event is in line {some_of(damaged, 5)}. It is left out."] if damaged else []
    return list(events.values()), damage


def _bounds_of_document(bounds: Mapping[str, Any]) -> list[Row]:
    """From `bounds.json`."""
    whole = {"closed form": bounds.get("closed_form"), "all rows in one place": bounds.get("centralized")}
    rows: list[Row] = [{"model": name, **scores["test"]} for name, scores in whole.items() if scores]
    return [*rows, *({"model": "alone", **site, **site["test"]} for site in bounds.get("local", ()))]


def _bounds_of_events(log: Sequence[Event]) -> list[Row]:
    """From the last time that bounds were said."""
    said = next((event for event in reversed(log) if isinstance(event, RunBounded)), None)
    if said is None:
        return []
    rows: list[Row] = [
        {"model": "closed form", **said.closed_form},
        {"model": "all rows in one place", **said.centralized},
    ]
    alone = {
        client_of(event.node_id): {"model": "alone", "rows": event.rows, **event.metrics}
        for event in log
        if isinstance(event, SiteBounded) and event.attempt == said.attempt
    }
    return [*rows, *({"client": client, **alone[client]} for client in sorted(alone, key=lambda each: each or 0))]
