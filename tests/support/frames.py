"""Whether two readings of a run are the same, frame by frame."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
from pandas.testing import assert_frame_equal

from fedforge_runtime.analysis import RunData, read_export, read_run
from fedforge_runtime.storage.home import Home
from monitor.schema import Deed

FRAMES = ("rounds", "clients", "bounds", "sites", "class_counts", "test_scores")
_MILLISECONDS = 1e-14
"""Relative: what a duration may lose as it is told in milliseconds; everything else is compared to the bit."""
_DURATIONS = ("seconds", "round_trip_seconds")


def assert_same_frames(one: RunData, other: RunData) -> None:
    """In content and types, and but for events in order; the deeds of a monitor are in its export alone."""
    for name in FRAMES:
        left, right = getattr(one, name), getattr(other, name)
        durations = [column for column in _DURATIONS if column in left]
        assert_frame_equal(left.drop(columns=durations), right.drop(columns=durations), check_exact=True, obj=name)
        assert_frame_equal(left[durations], right[durations], rtol=_MILLISECONDS, atol=0, obj=name)
    deeds = {str(event.event_id) for event in [*one.log, *other.log] if isinstance(event, Deed)}
    left, right = (
        run.events[~run.events["event_id"].isin(deeds)].sort_values("event_id", ignore_index=True)
        for run in (one, other)
    )
    assert_frame_equal(left, right, check_exact=True, obj="events")


def assert_export_has_the_frames_of_the_home(client: httpx.Client, run_id: str, log: Path) -> None:
    """What a monitor exports of a run, and the run's folder in the home that has this log."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{run_id}.ndjson")
        file.write_bytes(client.get(f"/api/runs/{run_id}/export").content)
        assert_same_frames(read_run(Home(log.parents[2]), run_id), read_export(file))
