"""Real runs under a real monitor: paused, stopped, killed and resumed, to the model of an undisturbed run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from monitor.schema import event_adapter
from tests.e2e.command import (
    fedforge,
    hold_training,
    kill_tree,
    processes_of,
    refusal,
    running,
    wait_until,
)
from tests.e2e.forked import forked
from tests.monitor_process import MonitorProcess


def state(client: httpx.Client, run_id: str) -> str | None:
    answer = client.get(f"/api/runs/{run_id}")
    return answer.json()["state"] if answer.is_success else None


def wait_for_state(client: httpx.Client, run_id: str, wanted: str) -> None:
    wait_until(lambda: state(client, run_id) == wanted, f"{wanted} of {run_id}")


def command(client: httpx.Client, run_id: str, name: str) -> None:
    answer = client.post(f"/api/runs/{run_id}/commands", json={"command": name, "given_by": "a test"})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text


def assert_whole(client: httpx.Client, run_id: str, log: Path) -> None:
    """The monitor has each event of the log, once, in the order of its emitter, and misses none."""
    ours = [event_adapter.validate_json(line) for line in log.read_text().splitlines()]
    exported = client.get(f"/api/runs/{run_id}/export").text.splitlines()
    theirs = [event_adapter.validate_json(line) for line in exported]

    assert len(theirs) == len(ours)
    assert {event.event_id: event for event in theirs} == {event.event_id: event for event in ours}
    for emitter in {event.emitter_id for event in ours}:
        numbers = [event.emitter_seq for event in theirs if event.emitter_id == emitter]
        assert numbers == list(range(1, len(numbers) + 1))
    assert client.get(f"/api/runs/{run_id}/snapshot").json()["missing"] == []


@pytest.mark.parametrize("engine", ["inprocess", "superlink", "ray"])
def test_a_run_is_paused_resumed_stopped_in_mid_training_and_resumed_to_the_same_model(
    engine: str,
    undisturbed: dict[str, Any],
    small: list[str],
    home: Path,
    monitor: MonitorProcess,
    client: httpx.Client,
) -> None:
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("the engine 'ray' needs the package 'ray', which is not installed")
    run_id = f"operated-{engine}"
    log = home / "runs" / run_id / "events.jsonl"
    with running("run", "blood", *small, "--engine", engine, "--run-id", run_id, "--monitor", monitor.url) as process:
        worker, _ = hold_training(log, 1)
        command(client, run_id, "pause")
        assert state(client, run_id) == "pausing"
        worker.resume()
        wait_for_state(client, run_id, "paused")
        command(client, run_id, "resume")
        wait_for_state(client, run_id, "running")

        hold_training(log, 2)
        family = processes_of(process.pid)
        command(client, run_id, "stop")
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "the run was stopped" in errors
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    wait_for_state(client, run_id, "stopped")
    history = client.get(f"/api/runs/{run_id}/commands").json()["commands"]
    assert [(each["command"], each["outcome"]) for each in history] == [
        ("stop", "effective"),
        ("resume", "effective"),
        ("pause", "effective"),
    ]
    assert [each["effective_round"] for each in history] == [1, 2, 2]  # complete; about to begin

    resumed = forked("resume", run_id, "--home", home, "--engine", "inprocess", "--monitor", monitor.url, "--json")

    assert resumed.code == 0, resumed.errors
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]
    shown = client.get(f"/api/runs/{run_id}").json()
    assert (shown["state"], shown["attempt"], shown["model_sha256"]) == ("completed", 2, undisturbed["model_sha256"])
    assert_whole(client, run_id, log)


def test_kill_9_of_monitor_and_run_at_once_loses_nothing(
    undisturbed: dict[str, Any], small: list[str], home: Path, tmp_path: Path
) -> None:
    log = home / "runs" / "both-killed" / "events.jsonl"
    with MonitorProcess(tmp_path) as monitor:
        with running("run", "blood", *small, "--run-id", "both-killed", "--monitor", monitor.url) as process:
            hold_training(log, 2)
            monitor.kill()
            kill_tree(process.pid)
            process.wait()
        monitor.start()
        with monitor.client() as client:
            assert state(client, "both-killed") in ("running", "requested", None)
            resumed = forked("resume", "both-killed", "--home", home, "--monitor", monitor.url, "--json")

            assert resumed.json["model_sha256"] == undisturbed["model_sha256"]
            assert state(client, "both-killed") == "completed"
            assert_whole(client, "both-killed", log)


def test_a_run_without_its_monitor_goes_on_says_so_and_is_loaded_later(
    undisturbed: dict[str, Any], small: list[str], home: Path, tmp_path: Path
) -> None:
    with MonitorProcess(tmp_path) as monitor:
        monitor.kill()
        alone = fedforge("run", "blood", *small, "--run-id", "unwatched", "--monitor", monitor.url, "--json")

        assert alone.json["model_sha256"] == undisturbed["model_sha256"]
        assert "cannot be reached" in alone.errors
        assert f"fedforge events import unwatched --monitor {monitor.url}" in alone.errors
        monitor.start()
        loaded = forked("events", "import", "unwatched", "--home", home, "--monitor", monitor.url, "--json")
        again = forked("events", "import", "unwatched", "--home", home, "--monitor", monitor.url, "--json")
        with monitor.client() as client:
            assert state(client, "unwatched") == "completed"
            assert_whole(client, "unwatched", home / "runs" / "unwatched" / "events.jsonl")

    assert loaded.json["duplicates"] == 0
    assert again.json["accepted"] == 0
    assert again.json["duplicates"] == loaded.json["accepted"]


def test_what_cannot_be_asked_of_a_run_is_refused_in_one_line(monitor: MonitorProcess) -> None:
    unknown = refusal(forked("stop", "nobody", "--monitor", monitor.url))
    away = refusal(forked("pause", "nobody", "--monitor", "http://127.0.0.1:9"))
    wrong = refusal(forked("pause", "nobody", "--monitor", "127.0.0.1:8400"))

    assert "no run 'nobody'" in unknown
    assert "fedforge monitor" in away
    assert "http://127.0.0.1:8400" in wrong
