"""Who failed is read from the log of all attempts, whatever else is in it."""

from __future__ import annotations

from pathlib import Path

from fedforge_runtime.record.state import read_failures
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import NodeError, NodeHeartbeat


def test_the_failures_of_every_attempt_are_found_in_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for attempt in (1, 2):
        with Emitter(folder.events, run_id="run", role="server", attempt=attempt) as emitter:
            emitter.emit(NodeHeartbeat, round_number=1, node_id="client-3")
            emitter.emit(NodeError, round_number=attempt, node_id="client-3", task="train", reason="lost")
    found = [(each.attempt, each.round, each.node_id, each.task, each.reason) for each in read_failures(folder)]
    assert found == [(1, 1, "client-3", "train", "lost"), (2, 2, "client-3", "train", "lost")]


def test_lines_that_were_cut_short_are_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with Emitter(folder.events, run_id="run", role="server") as emitter:
        emitter.emit(NodeError, round_number=1, node_id="client-0", reason="lost")
    whole = folder.events.read_bytes()
    folder.events.write_bytes(b'{"type":"node_error","rou\n' + whole + whole[:-5])
    assert len(read_failures(folder)) == 1


def test_a_run_without_a_log_has_no_failures(tmp_path: Path) -> None:
    assert read_failures(RunFolder(tmp_path)) == []
