"""A stop by the API reaches a run wherever it is: while it starts, computes features, evaluates."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import AggregationCompleted, ClientTrainStarted, RunRequested
from tests.e2e.command import processes_of, running, wait_for_event, wait_until
from tests.e2e.forked import forked
from tests.engines import RAY_TOO
from tests.monitor_process import MonitorProcess


def wait_for_start(log: Path) -> None:
    wait_for_event(log, lambda event: isinstance(event, RunRequested), "the request")


def hold_evaluation(log: Path) -> None:
    """Wait until the first round's model is there, and hold whoever has trained, so that nobody evaluates it."""
    wait_for_event(log, lambda event: isinstance(event, AggregationCompleted), "the first aggregation")
    trained = {event.emitter_id.split("-")[1] for event in read_events(log) if isinstance(event, ClientTrainStarted)}
    for pid in trained:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).suspend()


def assert_stopped(
    client: httpx.Client, run_id: str, log: Path, command: list[str], wait: Callable[[Path], None]
) -> None:
    with running(*command, "--run-id", run_id) as process:
        wait(log)
        wait_until(lambda: client.get(f"/api/runs/{run_id}").is_success, "the run at the monitor")
        family = processes_of(process.pid)
        order = {"command": "stop", "given_by": "a test"}
        assert client.post(f"/api/runs/{run_id}/commands", json=order).is_success
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    wait_until(lambda: client.get(f"/api/runs/{run_id}").json()["state"] == "stopped", "stopped")


@pytest.mark.parametrize("engine", ["inprocess", pytest.param("superlink", marks=pytest.mark.thorough), RAY_TOO])
def test_a_run_is_stopped_while_it_starts_and_while_it_evaluates_and_resumes_to_the_same_model(
    engine: str,
    undisturbed: dict[str, Any],
    small: list[str],
    home: Path,
    monitor: MonitorProcess,
    client: httpx.Client,
) -> None:
    command = ["run", "blood", *small, "--engine", engine, "--monitor", monitor.url]
    starting, evaluating = f"starting-{engine}", f"evaluating-{engine}"

    assert_stopped(client, starting, home / "runs" / starting / "events.jsonl", command, wait_for_start)
    assert_stopped(client, evaluating, home / "runs" / evaluating / "events.jsonl", command, hold_evaluation)

    assert client.get(f"/api/runs/{evaluating}").json()["round"] == 1
    resumed = forked("resume", evaluating, "--home", home, "--engine", "inprocess", "--monitor", monitor.url, "--json")
    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_a_run_is_stopped_while_it_computes_features(
    small: list[str], home: Path, tmp_path: Path, monitor: MonitorProcess, client: httpx.Client
) -> None:
    fresh = [str(tmp_path) if option == str(home) else option for option in small]
    log = tmp_path / "runs" / "featuring" / "events.jsonl"

    def wait(log: Path) -> None:
        partial = tmp_path / "assets" / "features"
        wait_until(lambda: next(partial.glob(".*.partial/progress.jsonl"), None), "the feature pass")

    command = ["run", "blood", *fresh, "--set", "backbone.name=untrained", "--monitor", monitor.url]
    assert_stopped(client, "featuring", log, command, wait)

    assert not list(tmp_path.glob("assets/features/[!.]*"))


def test_a_request_is_stopped_before_its_process_has_said_anything(
    tmp_path: Path, monitor: MonitorProcess, client: httpx.Client
) -> None:
    body = {"run_id": "early", "request": {"phase": "blood", "overrides": {"dataset.source": "phantom"}}}
    assert client.post("/api/runs", json=body).is_success
    with running("agent", "--once", "--home", tmp_path, "--monitor", monitor.url) as agent:
        wait_until(lambda: client.get("/api/runs/early").json()["state"] == "starting", "the claim")
        order = {"command": "stop", "given_by": "a test"}
        assert client.post("/api/runs/early/commands", json=order).is_success
        assert agent.wait(timeout=120) == 0

    assert client.get("/api/runs/early").json()["state"] == "stopped"
    assert not (tmp_path / "runs").exists()
