"""Real runs under a real monitor: paused, stopped, killed and resumed, to the model of an undisturbed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import Deed, event_adapter
from tests.e2e.command import BARE, hold_training, refusal, wait_until
from tests.e2e.event_figures import (
    REQUIRED,
    assert_latencies_contain_each_other,
    assert_payloads_are_those_of_the_models,
)
from tests.e2e.forked import forked, forked_running
from tests.support.engines import RAY_TOO
from tests.support.folding import assert_snapshot_is_fold
from tests.support.frames import assert_export_has_the_frames_of_the_home
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

TOLD = {
    "command_given", "command_acknowledged", "command_settled",
    "stage_progress", "run_described", "site_described", "run_evaluated", "site_evaluated",
}  # fmt: skip
"""What the monitor itself says of a run to which commands are given, and what the run says of itself."""


def state(client: httpx.Client, run_id: str) -> str | None:
    answer = client.get(f"/api/runs/{run_id}")
    return answer.json()["state"] if answer.is_success else None


def wait_for_state(client: httpx.Client, run_id: str, wanted: str) -> None:
    wait_until(lambda: state(client, run_id) == wanted, f"{wanted} of {run_id}")


def command(client: httpx.Client, run_id: str, name: str) -> None:
    answer = client.post(f"/api/runs/{run_id}/commands", json={"command": name, "given_by": "a test"})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text


def commands(client: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """Those of a run, the latest first."""
    found: list[dict[str, Any]] = client.get(f"/api/runs/{run_id}/commands").json()["commands"]
    return found


def assert_whole(client: httpx.Client, run_id: str, log: Path) -> None:
    """The monitor has each event of the log, once, in the order of its emitter, and misses none."""
    ours = [event_adapter.validate_json(line) for line in log.read_text().splitlines()]
    exported = client.get(f"/api/runs/{run_id}/export").text.splitlines()
    theirs = [event for event in map(event_adapter.validate_json, exported) if not isinstance(event, Deed)]

    assert len(theirs) == len(ours)
    assert {event.event_id: event for event in theirs} == {event.event_id: event for event in ours}
    for emitter in {event.emitter_id for event in ours}:
        numbers = [event.emitter_seq for event in theirs if event.emitter_id == emitter]
        assert numbers == list(range(1, len(numbers) + 1))
    assert client.get(f"/api/runs/{run_id}/snapshot").json()["missing"] == []
    assert_snapshot_is_fold(client, run_id)
    assert_export_has_the_frames_of_the_home(client, run_id, log)


@pytest.mark.parametrize("engine", ["inprocess", pytest.param("superlink", marks=pytest.mark.thorough), RAY_TOO])
def test_a_run_is_paused_resumed_stopped_in_mid_training_and_resumed_to_the_same_model(
    engine: str,
    undisturbed: dict[str, Any],
    small: list[str],
    home: Path,
    monitor: MonitorProcess,
    client: httpx.Client,
) -> None:
    model, types = operate(engine, f"operated-{engine}", small, home, monitor, client)
    types |= fail(engine, f"failed-{engine}", small, home, monitor, client)

    assert model == undisturbed["model_sha256"]
    assert types == REQUIRED | TOLD


@pytest.fixture(scope="module")
def real_options(real_data: Path, real_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [
        *("--home", str(tmp_path_factory.mktemp("real-home")), "--data", str(real_data)),
        *("--backbone", str(real_backbone), "--clients", "3", "--rounds", "3"),
        *("--set", "dataset.limit=120", "--set", "learning.epochs=8", *BARE),
    ]


@pytest.fixture(scope="module")
def real_model(real_options: list[str]) -> str:
    """The hash of an undisturbed run on real images."""
    model: str = forked("run", "blood", *real_options, "--run-id", "undisturbed", "--json").json["model_sha256"]
    return model


@pytest.mark.real_data
@pytest.mark.parametrize("engine", ["inprocess", pytest.param("superlink", marks=pytest.mark.thorough), RAY_TOO])
def test_real_blood_is_operated_to_the_same_model(
    engine: str, real_options: list[str], real_model: str, monitor: MonitorProcess, client: httpx.Client
) -> None:
    home = Path(real_options[1])

    model, types = operate(engine, f"blood-{engine}", real_options, home, monitor, client)
    types |= fail(engine, f"blood-failed-{engine}", real_options, home, monitor, client)

    assert model == real_model
    assert types == REQUIRED | TOLD


def operate(
    engine: str, run_id: str, options: list[str], home: Path, monitor: MonitorProcess, client: httpx.Client
) -> tuple[str, set[str]]:
    """Pause, resume and stop a run by the API, and resume it to its end; its model and the types of its events."""
    log = home / "runs" / run_id / "events.jsonl"
    where = ["--engine", engine, "--run-id", run_id, "--monitor", monitor.url]
    with forked_running("run", "blood", *options, *where) as run:
        worker, _ = hold_training(log, 1)
        wait_for_state(client, run_id, "running")
        command(client, run_id, "pause")
        assert state(client, run_id) == "pausing"
        wait_until(lambda: commands(client, run_id)[0]["acknowledged_at"], "that the run has heard of it")
        worker.resume()
        wait_for_state(client, run_id, "paused")
        wait_until(lambda: "node_heartbeat" in types_at(client, run_id), "a sign of life while it is paused")
        command(client, run_id, "resume")
        wait_for_state(client, run_id, "running")

        hold_training(log, 2)
        family = run.family()
        command(client, run_id, "stop")
        stopped = run.wait()

    assert stopped.code == 130, stopped.errors
    assert "stopped: on request" in stopped.errors
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []
    wait_for_state(client, run_id, "stopped")
    history = commands(client, run_id)
    assert [(each["command"], each["outcome"]) for each in history] == [
        ("stop", "effective"),
        ("resume", "effective"),
        ("pause", "effective"),
    ]
    assert [each["effective_round"] for each in history] == [1, 2, 2]  # complete; about to begin

    there = ["--home", home, "--engine", "inprocess", "--monitor", monitor.url]
    resumed = forked("resume", run_id, *there, *BARE, "--json")

    assert resumed.code == 0, resumed.errors
    model: str = resumed.json["model_sha256"]
    shown = client.get(f"/api/runs/{run_id}").json()
    assert (shown["state"], shown["attempt"], shown["model_sha256"]) == ("completed", 2, model)
    assert_whole(client, run_id, log)
    events = read_events(log)
    assert_payloads_are_those_of_the_models(events, home / "runs" / run_id / "checkpoints")
    assert_latencies_contain_each_other(events)
    return model, types_at(client, run_id)


def fail(
    engine: str, run_id: str, options: list[str], home: Path, monitor: MonitorProcess, client: httpx.Client
) -> set[str]:
    """Kill a client of a run that needs every one of them; the types of its events."""
    log = home / "runs" / run_id / "events.jsonl"
    where = ["--engine", engine, "--run-id", run_id, "--monitor", monitor.url]
    with forked_running("run", "blood", *options, *where, "--set", "federation.minimum_clients=3") as run:
        worker, _ = hold_training(log, 1)
        worker.kill()
        run.wait()
    wait_for_state(client, run_id, "failed")
    assert "of the 3 clients needed gave a usable answer" in client.get(f"/api/runs/{run_id}").json()["reason"]
    assert_whole(client, run_id, log)
    return types_at(client, run_id)


def types_at(client: httpx.Client, run_id: str) -> set[str]:
    """The types of a run's events that the monitor has."""
    lines = client.get(f"/api/runs/{run_id}/export").text.splitlines()
    return {event_adapter.validate_json(line).type for line in lines}


def test_kill_9_of_monitor_and_run_at_once_loses_nothing(
    undisturbed: dict[str, Any], small: list[str], home: Path, tmp_path: Path
) -> None:
    log = home / "runs" / "both-killed" / "events.jsonl"
    with MonitorProcess(tmp_path) as monitor:
        with forked_running("run", "blood", *small, "--run-id", "both-killed", "--monitor", monitor.url) as run:
            hold_training(log, 2)
            monitor.kill()
            run.kill_all()
        monitor.start()
        with monitor.client() as client:
            assert state(client, "both-killed") in ("running", "requested", None)
            resumed = forked("resume", "both-killed", "--home", home, "--monitor", monitor.url, *BARE, "--json")

            assert resumed.json["model_sha256"] == undisturbed["model_sha256"]
            assert state(client, "both-killed") == "completed"
            assert_whole(client, "both-killed", log)


def test_a_run_without_its_monitor_goes_on_says_so_and_is_loaded_later(
    undisturbed: dict[str, Any], small: list[str], home: Path, tmp_path: Path
) -> None:
    with MonitorProcess(tmp_path) as monitor:
        monitor.kill()
        alone = forked("run", "blood", *small, "--run-id", "unwatched", "--monitor", monitor.url, "--json")

        assert alone.json["model_sha256"] == undisturbed["model_sha256"]
        assert "unreachable since" in alone.errors
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
