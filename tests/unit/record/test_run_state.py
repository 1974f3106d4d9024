"""What has become of a run is read from its log and its lock alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from fedforge_runtime.record.state import is_executing, run_state
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import (
    NodeHeartbeat,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRequest,
    RunRequested,
    RunResumed,
    RunStarted,
    RunStopped,
)

REQUESTED = (RunRequested, {"request": RunRequest(phase="blood")})
STARTED = (RunStarted, {"engine": "inprocess", "rounds_total": 3, "clients": 2})
PAUSED: tuple[Any, dict[str, Any]] = (RunPaused, {})
RESUMED: tuple[Any, dict[str, Any]] = (RunResumed, {})
STOPPED = (RunStopped, {"reason": "SIGINT received"})
FAILED = (RunFailed, {"reason": "too few clients"})
COMPLETED = (RunCompleted, {"model_sha256": "0" * 64})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def emit(folder: RunFolder, *events: tuple[Any, dict[str, Any]], attempt: int = 1) -> None:
    with Emitter(folder.events, run_id="run", role="server", attempt=attempt) as emitter:
        for event_type, facts in events:
            emitter.emit(event_type, round_number=0, node_id="server", **facts)
        emitter.emit(NodeHeartbeat, round_number=0, node_id="server")


@pytest.mark.parametrize(
    ("events", "executing", "interrupted", "reason"),
    [
        ([], "requested", "interrupted", ""),
        ([REQUESTED], "requested", "interrupted", ""),
        ([REQUESTED, STARTED], "running", "interrupted", ""),
        ([REQUESTED, STARTED, PAUSED], "paused", "interrupted", ""),
        ([REQUESTED, STARTED, PAUSED, RESUMED], "running", "interrupted", ""),
        ([REQUESTED, STARTED, STOPPED], "stopped", "stopped", "SIGINT received"),
        ([REQUESTED, STARTED, FAILED], "failed", "failed", "too few clients"),
        ([REQUESTED, STARTED, COMPLETED], "completed", "completed", ""),
    ],
)
def test_the_state_is_that_of_the_last_event_of_the_run_unless_nobody_executes_it(
    folder: RunFolder, events: list[Any], executing: str, interrupted: str, reason: str
) -> None:
    emit(folder, *events)

    with FileLock(folder.lock):
        assert run_state(folder).state == executing
    state = run_state(folder)
    assert (state.state, state.reason, state.attempt) == (interrupted, reason, 1)


def test_a_resumed_run_is_in_its_second_attempt(folder: RunFolder) -> None:
    emit(folder, REQUESTED, STARTED, FAILED)
    emit(folder, RESUMED, STARTED, COMPLETED, attempt=2)

    state = run_state(folder)

    assert (state.state, state.attempt, state.reason) == ("completed", 2, "")


def test_a_line_that_is_still_being_written_is_not_looked_at(folder: RunFolder) -> None:
    emit(folder, REQUESTED, STARTED, STOPPED)
    with folder.events.open("ab") as stream:
        stream.write(b'{"type":"run_completed"')

    assert run_state(folder).state == "stopped"


def test_a_run_whose_process_was_killed_is_not_executing(folder: RunFolder) -> None:
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert is_executing(folder)
    finally:
        process.kill()
        process.communicate()

    assert not is_executing(folder)
