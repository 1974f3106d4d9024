"""A run that is killed, stopped or loses a site ends as it should, and resumes to the undisturbed model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import ClientTrainStarted, Event, RoundCompleted
from tests.e2e.command import fedforge, kill_tree, processes_of, running, wait_for_event, wait_until

# Long enough to be caught in the middle: each round trains for this many epochs.
LONG_ROUNDS = ["--set", "learning.epochs=60", "--set", "runtime.workers=2"]


def _training_in(round_number: int) -> Any:
    def wanted(event: Event) -> bool:
        return isinstance(event, ClientTrainStarted) and event.round == round_number

    return wanted


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
    wait_until(lambda: not any(each.is_running() for each in tree), "the end of every process", 10)
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


def test_features_go_on_where_they_were_killed(
    tiny_backbone: Path, tmp_path: Path, undisturbed: dict[str, Any], small: list[str]
) -> None:
    here = [option if option != small[1] else str(tmp_path) for option in small]
    with running("run", "blood", *here, "--run-id", "killed") as process:
        progress = wait_until(
            lambda: next(tmp_path.glob("assets/features/.*.partial/progress.jsonl"), None), "progress"
        )
        wait_until(lambda: progress.read_text().count("\n") >= 1, "a finished chunk")
        for each in processes_of(process.pid):
            each.suspend()
        kill_tree(process.pid)
        process.wait()
    assert progress.exists(), "the pass ended before it was killed"
    resumed = fedforge("resume", "killed", "--home", tmp_path, "--json")
    assert resumed.code == 0, resumed.errors
    assert "are there already" in " ".join(resumed.errors.split())
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_workers_end_when_their_parent_is_killed(small: list[str], home: Path) -> None:
    log = home / "runs" / "orphans" / "events.jsonl"
    with running("run", "blood", *small, *LONG_ROUNDS, "--run-id", "orphans") as process:
        wait_for_event(log, _training_in(1), "training")
        children = [each for each in processes_of(process.pid) if each.pid != process.pid]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert children
        wait_until(
            lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children),
            "the end of every worker",
            15,
        )
