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

from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import ClientTrainStarted, Event, RoundCompleted
from tests.e2e.command import (
    Outcome,
    fedforge,
    kill_tree,
    processes_of,
    refusal,
    running,
    wait_for_event,
    wait_until,
    workers_of,
)

# Long enough to be caught in the middle: each round trains for this many epochs.
LONG_ROUNDS = ["--set", "learning.epochs=60", "--set", "runtime.workers=2"]


def _training_in(round_number: int) -> Any:
    def wanted(event: Event) -> bool:
        return isinstance(event, ClientTrainStarted) and event.round == round_number

    return wanted


@pytest.fixture
def fresh(small: list[str], home: Path, tmp_path: Path) -> list[str]:
    """The small run's options, in a home of its own where nothing is prepared."""
    return [str(tmp_path) if option == str(home) else option for option in small]


@pytest.fixture(scope="module", params=["fedavg", "fedadam"])
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def expected(strategy: str, small: list[str]) -> dict[str, Any]:
    """The undisturbed run of these tests."""
    outcome = fedforge(
        "run", "blood", *small, *LONG_ROUNDS, "--strategy", strategy, "--run-id", f"long-{strategy}", "--json"
    )
    assert outcome.code == 0, outcome.errors
    return outcome.json


def test_kill_9_in_mid_round_then_resume_gives_the_same_model(
    strategy: str, expected: dict[str, Any], small: list[str], home: Path
) -> None:
    run_id = f"killed-{strategy}"
    log = home / "runs" / run_id / "events.jsonl"
    with running("run", "blood", *small, *LONG_ROUNDS, "--strategy", strategy, "--run-id", run_id) as process:
        wait_for_event(log, _training_in(2), "training in round 2")
        kill_tree(process.pid)
        process.wait()
    assert not any(isinstance(event, RoundCompleted) and event.round == 2 for event in read_events(log))

    shown = fedforge("show", run_id, "--home", home, "--json").json
    assert (shown["state"], shown["rounds_completed"]) == ("interrupted", 1)

    resumed = fedforge("resume", run_id, "--home", home, "--json")
    assert resumed.code == 0, resumed.errors
    assert resumed.json["attempt"] == 2
    assert resumed.json["model_sha256"] == expected["model_sha256"]
    assert resumed.json["metrics"] == expected["metrics"]


def test_ctrl_c_in_mid_round_stops_leaves_no_process_and_resumes(
    strategy: str, expected: dict[str, Any], small: list[str], home: Path
) -> None:
    run_id = f"stopped-{strategy}"
    log = home / "runs" / run_id / "events.jsonl"
    with running("run", "blood", *small, *LONG_ROUNDS, "--strategy", strategy, "--run-id", run_id) as process:
        wait_for_event(log, _training_in(2), "training in round 2")
        tree = processes_of(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"fedforge resume {run_id}" in errors
    assert "Traceback" not in errors
    _assert_gone(tree)
    shown = fedforge("show", run_id, "--home", home, "--json").json
    assert (shown["state"], shown["rounds_completed"]) == ("stopped", 1)

    resumed = fedforge("resume", run_id, "--home", home, "--set", "runtime.workers=1", "--json")
    assert resumed.code == 0, resumed.errors
    assert resumed.json["model_sha256"] == expected["model_sha256"]


def test_a_site_that_dies_is_left_out_and_its_round_can_be_replayed(small: list[str], home: Path) -> None:
    run_id = "lost-a-site"
    log = home / "runs" / run_id / "events.jsonl"
    with running("run", "blood", *small, *LONG_ROUNDS, "--run-id", run_id, "--json") as process:
        started = wait_for_event(log, _training_in(2), "training in round 2")
        worker = int(started.emitter_id.split("-")[1])
        os.kill(worker, signal.SIGKILL)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    result = json.loads(output)
    lost = int(started.node_id.removeprefix("client-"))
    assert "died" in result["rounds"][1]["failures"][str(lost)]
    assert lost not in result["rounds"][1]["participants"]
    assert result["rounds"][2]["participants"] == [0, 1, 2]

    replay = result["artifacts"]["participants"]
    replayed = fedforge("run", "blood", *small, *LONG_ROUNDS, "--participants", replay, "--json")
    assert replayed.code == 0, replayed.errors
    assert replayed.json["model_sha256"] == result["model_sha256"]


def test_too_few_sites_end_the_run_with_a_reason(small: list[str], home: Path) -> None:
    run_id = "too-few"
    log = home / "runs" / run_id / "events.jsonl"
    needs_all = ["--set", "federation.minimum_clients=3"]
    with running("run", "blood", *small, *LONG_ROUNDS, *needs_all, "--run-id", run_id) as process:
        started = wait_for_event(log, _training_in(1), "training in round 1")
        os.kill(int(started.emitter_id.split("-")[1]), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "only 2 of the 3 clients needed" in errors
    shown = fedforge("show", run_id, "--home", home, "--json").json
    assert shown["state"] == "failed"
    assert "only 2 of the 3 clients needed" in shown["reason"]


def test_chunks_of_features_that_are_done_are_not_done_again_after_kill_9(
    undisturbed: dict[str, Any], fresh: list[str], tmp_path: Path
) -> None:
    with running("run", "blood", *fresh, "--run-id", "killed") as process:
        progress = _feature_progress(tmp_path)
        workers_of(process.pid)[0].suspend()  # so that one chunk at least is never done
        done = wait_until(lambda: [chunk for chunk in _chunks(progress) if chunk[0] != "train"], "a chunk to mark")
        kill_tree(process.pid)
        process.wait()
    split, start, stop = done[0]
    marked = np.load(progress.with_name(f"features_{split}.npy"), mmap_mode="r+")
    marked[start:stop] = 0.25  # what is computed anew loses the mark; rows that train the model stay as they are
    marked.flush()

    resumed = fedforge("resume", "killed", "--home", tmp_path, "--json")
    assert resumed.code == 0, resumed.errors
    assert "are there already" in " ".join(resumed.errors.split())
    features = np.load(next(tmp_path.glob(f"assets/features/*/features_{split}.npy")))
    assert (features[start:stop] == 0.25).all()
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_a_worker_that_dies_over_features_ends_the_run_with_a_reason_and_it_resumes(
    undisturbed: dict[str, Any], fresh: list[str], tmp_path: Path
) -> None:
    with running("run", "blood", *fresh, "--run-id", "lost") as process:
        _feature_progress(tmp_path)
        worker = workers_of(process.pid)[0]
        worker.suspend()
        worker.kill()
        output, errors = process.communicate(timeout=60)
    reason = refusal(Outcome(process.returncode, output, errors))
    assert "a worker process ended before its task did" in reason
    assert "fedforge resume lost" in reason
    resumed = fedforge("resume", "lost", "--home", tmp_path, "--json")
    assert resumed.code == 0, resumed.errors
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_ctrl_c_while_it_starts_ends_the_whole_group_at_once(fresh: list[str], tmp_path: Path) -> None:
    with running("run", "blood", *fresh) as process:
        tree = wait_until(lambda: _with_template(process.pid), "the template")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    _assert_gone(tree)
    assert not (tmp_path / "runs").exists()


def test_workers_end_when_their_parent_is_killed(small: list[str], home: Path) -> None:
    log = home / "runs" / "orphans" / "events.jsonl"
    with running("run", "blood", *small, *LONG_ROUNDS, "--run-id", "orphans") as process:
        wait_for_event(log, _training_in(1), "training")
        children = [each for each in processes_of(process.pid) if each.pid != process.pid]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert children
        _assert_gone(children)


def _feature_progress(home: Path) -> Path:
    """The file that names the chunks which are done, once there is one."""
    partial = home / "assets" / "features"
    file: Path = wait_until(lambda: next(partial.glob(".*.partial/progress.jsonl"), None), "the feature pass")
    wait_until(lambda: _chunks(file), "a finished chunk")
    return file


def _chunks(progress: Path) -> list[tuple[str, int, int]]:
    return [tuple(json.loads(line)) for line in progress.read_text().rpartition("\n")[0].splitlines()]


def _with_template(pid: int) -> list[psutil.Process]:
    """All processes of a command, once the one that its workers are forked from is among them."""
    tree = processes_of(pid)
    return tree if any("forkserver" in " ".join(each.cmdline()) for each in tree) else []


def _assert_gone(processes: list[psutil.Process]) -> None:
    def all_gone() -> bool:
        return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)

    wait_until(all_gone, "the end of every process", 15)
