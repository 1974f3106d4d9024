"""A run that is killed, stopped or loses a site ends as it should, and resumes to the undisturbed model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fedforge_runtime.processes.ownership import owning
from fedforge_runtime.record.state import run_state
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import read_events
from tests.e2e.command import (
    BARE,
    Outcome,
    hold_training,
    processes_of,
    refusal,
    running,
    template_of,
    wait_for_event,
    wait_until,
)
from tests.e2e.forked import forked, forked_running, forked_together
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def fresh(small: list[str], home: Path, tmp_path: Path) -> list[str]:
    """The small run's options, in a home of its own where nothing is prepared."""
    return [str(tmp_path) if option == str(home) else option for option in small]


def test_kill_9_of_all_processes_in_mid_round_then_resume_gives_the_same_model(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    with forked_running("run", "blood", *small, "--run-id", "killed-all") as command:
        hold_training(home / "runs" / "killed-all" / "events.jsonl", 2)
        command.kill_all()
    shown = forked("show", "killed-all", "--home", home, "--json").json
    assert (shown["state"], shown["rounds_completed"], shown["metrics"]) == ("interrupted", 1, {})
    _assert_same(forked("resume", "killed-all", "--home", home, *BARE, "--json"), undisturbed)


@pytest.mark.thorough
def test_kill_9_of_the_parent_ends_its_workers_and_an_adaptive_server_resumes_to_the_same_model(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    command = ["run", "blood", *small, "--strategy", "fedadam"]
    with running(*command, "--run-id", "killed-parent") as process:
        worker, _ = hold_training(home / "runs" / "killed-parent" / "events.jsonl", 2)
        children = [each for each in processes_of(process.pid) if each.pid != process.pid]
        process.kill()
        process.wait()
        worker.resume()
        assert worker in children
        _assert_gone(children)
    assert forked("show", "killed-parent", "--home", home, "--json").json["state"] == "interrupted"
    resumed, other = forked_together(["resume", "killed-parent", "--home", home, *BARE, "--json"], [*command, "--json"])
    _assert_same(resumed, other.json)
    assert other.json["model_sha256"] != undisturbed["model_sha256"]


def _assert_same(resumed: Outcome, expected: dict[str, Any]) -> None:
    assert resumed.code == 0, resumed.errors
    assert (resumed.json["state"], resumed.json["attempt"]) == ("completed", 2)
    assert resumed.json["model_sha256"] == expected["model_sha256"]
    assert resumed.json["metrics"] == expected["metrics"]


def test_ctrl_c_in_mid_round_stops_leaves_no_process_and_resumes_though_its_line_is_damaged(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    with running("run", "blood", *small, "--run-id", "stopped") as process:
        hold_training(home / "runs" / "stopped" / "events.jsonl", 2)
        tree = processes_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "fedforge resume stopped" in refusal(Outcome(process.returncode, output, errors))
    _assert_gone(tree)
    shown = forked("show", "stopped", "--home", home, "--json").json
    assert (shown["state"], shown["rounds_completed"]) == ("stopped", 1)

    log = home / "runs" / "stopped" / "events.jsonl"
    lines = log.read_bytes().splitlines()
    last = max(number for number, line in enumerate(lines) if b'"type":"run_' in line)
    lines[last] = lines[last][:40]
    log.write_bytes(b"\n".join(lines) + b"\n")

    resumed = forked("resume", "stopped", "--home", home, "--set", "runtime.workers=1", *BARE, "--json")
    _assert_same(resumed, undisturbed)
    assert resumed.json["damaged"] == [f"{log}: line {last + 1} is damaged, and left out."]


def _signal_twice(pid: int) -> None:
    """Have two signals come at one moment, so that nothing is done between them."""
    process = psutil.Process(pid)
    process.suspend()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.resume()


def test_a_second_signal_in_mid_round_is_recorded_as_a_stop(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    with forked_running("run", "blood", *small, "--run-id", "stopped-twice") as command:
        hold_training(home / "runs" / "stopped-twice" / "events.jsonl", 1)
        _signal_twice(command.pid)
        outcome = command.wait()

    assert outcome.code == 130, outcome.errors
    assert "fedforge resume stopped-twice" in refusal(outcome)
    shown = forked("show", "stopped-twice", "--home", home, "--json").json
    assert (shown["state"], shown["reason"]) == ("stopped", "interrupted by a second signal")


def test_a_second_signal_during_preparation_is_recorded_as_a_stop(fresh: list[str], tmp_path: Path) -> None:
    log = tmp_path / "runs" / "early" / "events.jsonl"
    with forked_running("run", "blood", *fresh, "--run-id", "early") as command:
        wait_for_event(log, lambda event: event.type == "run_requested", "the run")
        _signal_twice(command.pid)
        outcome = command.wait()

    assert outcome.code == 130, outcome.errors
    assert "fedforge resume early" in refusal(outcome)
    assert run_state(RunFolder(log.parent)).state == "stopped"


def test_a_site_that_dies_is_left_out_and_its_round_can_be_replayed(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    with forked_running("run", "blood", *small, "--run-id", "lost-a-site", "--json") as command:
        worker, lost = hold_training(home / "runs" / "lost-a-site" / "events.jsonl", 2)
        worker.kill()
        outcome = command.wait()
    assert outcome.code == 0, outcome.errors
    result = outcome.json
    assert "died" in result["rounds"][1]["failures"][str(lost)]
    assert [record["participants"] for record in result["rounds"]] == [
        [0, 1, 2],
        sorted({0, 1, 2} - {lost}),
        [0, 1, 2],
    ]
    assert result["model_sha256"] != undisturbed["model_sha256"]
    events = read_events(Path(result["artifacts"]["events"]))
    assert [(each.round, each.node_id) for each in events if each.type == "node_error"] == [(2, f"client-{lost}")]

    replay = result["artifacts"]["participants"]
    replayed = forked("run", "blood", *small, "--participants", replay, "--json")
    assert replayed.code == 0, replayed.errors
    assert replayed.json["model_sha256"] == result["model_sha256"]


def test_chunks_of_features_that_are_done_are_not_done_again_after_kill_9(
    undisturbed: dict[str, Any], fresh: list[str], tmp_path: Path
) -> None:
    with forked_running("run", "blood", *fresh, "--run-id", "killed") as command:
        progress = _feature_progress(tmp_path)
        command.workers()[0].suspend()  # so that one chunk at least is never done
        done = wait_until(lambda: [chunk for chunk in _chunks(progress) if chunk[0] != "train"], "a chunk to mark")
        command.kill_all()
    split, start, stop = done[0]
    marked = np.load(progress.with_name(f"features_{split}.npy"), mmap_mode="r+")
    marked[start:stop] = 0.25  # what is computed anew loses the mark; rows that train the model stay as they are
    marked.flush()

    resumed = forked("resume", "killed", "--home", tmp_path, *BARE, "--json")
    assert resumed.code == 0, resumed.errors
    assert "are there already" in " ".join(resumed.errors.split())
    features = np.load(next(tmp_path.glob(f"assets/features/*/features_{split}.npy")))
    assert (features[start:stop] == 0.25).all()
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_a_worker_that_dies_over_features_ends_the_run_with_a_reason(fresh: list[str], tmp_path: Path) -> None:
    with forked_running("run", "blood", *fresh, "--run-id", "lost") as command:
        _feature_pass(tmp_path)
        workers = command.workers()
        for each in workers:
            each.suspend()
        for each in workers:  # one of them may be idle
            each.kill()
        outcome = command.wait()
    reason = refusal(outcome)
    assert "a worker process ended before its task did" in reason
    assert "fedforge resume lost" in reason
    assert forked("show", "lost", "--home", tmp_path, "--json").json["state"] == "failed"


def test_a_client_that_is_killed_is_told_by_its_signal_on_the_event_on_the_page_and_in_the_error(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    log = home / "runs" / "killed-client" / "events.jsonl"
    with forked_running(
        "run", "blood", *small, "--set", "federation.minimum_clients=3", "--run-id", "killed-client"
    ) as command:
        worker, client = hold_training(log, 2)
        worker.kill()
        outcome = command.wait()
    death = "the client's process died before it answered: killed by SIGKILL, most often because memory has run out"

    error = refusal(outcome)
    assert f"round 2: only 2 of the 3 clients needed gave a usable answer (client {client}: train: {death}" in error
    assert "--engine inprocess --set runtime.workers=1" in error
    *_, failed = (event for event in read_events(log) if event.type in ("node_error", "run_failed"))
    assert (failed.type, failed.round) == ("run_failed", 2)
    (told,) = (event for event in read_events(log) if event.type == "node_error")
    assert (told.node_id, told.round, told.reason.startswith(death)) == (f"client-{client}", 2, True)
    shown = forked("show", "killed-client", "--home", home, "--json").json
    assert shown["state"] == "failed"
    assert death in shown["reason"]
    page = Path(forked("report", "killed-client", "--home", home, "--json").json["report"])
    assert "killed by SIGKILL" in page.read_text()


def test_ctrl_c_while_it_starts_ends_the_whole_group_at_once(fresh: list[str], tmp_path: Path) -> None:
    with running("run", "blood", *fresh) as process:
        template_of(process.pid)
        tree = processes_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in errors
    _assert_gone(tree)
    for folder in (tmp_path / "runs").glob("*"):  # where it had begun it says that it has stopped
        assert [event.type for event in read_events(folder / "events.jsonl")][::-1][0] == "run_stopped"


def _feature_pass(home: Path) -> Path:
    """The file that names the chunks which are done, once the pass begins."""
    partial = home / "assets" / "features"
    file: Path = wait_until(lambda: next(partial.glob(".*.partial/progress.jsonl"), None), "the feature pass")
    return file


def _feature_progress(home: Path) -> Path:
    """The same, once there is a chunk in it."""
    file = _feature_pass(home)
    wait_until(lambda: _chunks(file), "a finished chunk")
    return file


def _chunks(progress: Path) -> list[tuple[str, int, int]]:
    return [tuple(json.loads(line)) for line in progress.read_text().rpartition("\n")[0].splitlines()]


def _assert_gone(processes: list[psutil.Process]) -> None:
    def all_gone() -> bool:
        return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)

    wait_until(all_gone, "the end of every process", 15)


def test_a_run_that_died_between_its_last_checkpoint_and_its_records_can_be_replayed_once_it_is_resumed(
    undisturbed: dict[str, Any], small: list[str], home: Path
) -> None:
    folder = home / "runs" / "died-late"
    participants = folder / "participants.json"
    with forked_running("run", "blood", *small, "--run-id", "died-late") as command:
        worker, _ = hold_training(folder / "events.jsonl", 3)
        before = participants.read_bytes()
        # From here on the record cannot be written: the run ends with its last checkpoint, and without that.
        participants.unlink()
        (participants / "in the way").mkdir(parents=True)
        worker.resume()
        assert command.wait().code != 0
    assert (folder / "checkpoints" / "round-00003" / "manifest.json").exists()
    (participants / "in the way").rmdir()
    participants.rmdir()
    participants.write_bytes(before)
    assert "3" not in json.loads(before)["rounds"]

    resumed = forked("resume", "died-late", "--home", home, *BARE, "--json")
    replayed = forked("run", "blood", *small, "--participants", participants, "--run-id", "replay-late", "--json")

    _assert_same(resumed, undisturbed)
    assert replayed.code == 0, replayed.errors
    assert replayed.json["model_sha256"] == undisturbed["model_sha256"]


def test_a_resume_whose_run_is_completed_before_its_turn_does_not_repeat_it(small: list[str], home: Path) -> None:
    outcome = forked("run", "blood", *small, "--run-id", "completed-meanwhile", "--json")
    assert outcome.code == 0, outcome.errors
    folder = home / "runs" / "completed-meanwhile"
    log, lock = folder / "events.jsonl", folder / ".lock"
    whole = log.read_bytes()
    end = next(line for line in whole.splitlines(keepends=True) if b'"type":"run_completed"' in line)

    said = "being executed"
    while "being executed" in said:  # on a busy machine it may have given up before its turn came
        log.write_bytes(whole.replace(end, b""))
        with forked_running("resume", "completed-meanwhile", "--home", home, *BARE) as command:
            with owning(lock):
                wait_until(lambda pid=command.pid: has_open(pid, lock), "the resume at the lock")
                log.write_bytes(whole)
            said = refusal(command.wait())

    assert "is finished" in said
    assert read_events(log)[-1].attempt == 1


def has_open(pid: int, file: Path) -> bool:
    """Whether a process has a file open."""
    return any(each.path == str(file) for each in psutil.Process(pid).open_files())
