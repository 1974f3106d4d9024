"""A stop by the API reaches a run wherever it is: while it starts, computes features, evaluates."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import AggregationCompleted, ClientTrainStarted, StageProgress
from tests.e2e.command import (
    BARE,
    Outcome,
    hold_training,
    processes_of,
    running,
    template_of,
    wait_for_event,
    wait_until,
)
from tests.e2e.forked import forked, forked_running
from tests.support.engines import RAY_TOO
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS


def hold_evaluation(log: Path) -> None:
    """Hold whoever evaluates the first round's model: one who trains goes there in steps too small to evaluate it."""
    worker, _ = hold_training(log, 1)

    def step() -> bool:
        worker.resume()
        time.sleep(0.005)
        worker.suspend()
        return any(isinstance(event, AggregationCompleted) for event in read_events(log))

    wait_until(step, "the first aggregation")
    trained = {event.emitter_id.split("-")[1] for event in read_events(log) if isinstance(event, ClientTrainStarted)}
    for pid in trained:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).suspend()


def assert_stopped(
    client: httpx.Client, run_id: str, log: Path, command: list[str], wait: Callable[[Path], None]
) -> None:
    with forked_running(*command, "--run-id", run_id) as run:
        wait(log)
        wait_until(lambda: client.get(f"/api/runs/{run_id}").is_success, "the run at the monitor")
        family = run.family()
        order_stop(client, run_id)
        stopped = run.wait()

    assert_nothing_is_left(client, run_id, stopped, family)


def order_stop(client: httpx.Client, run_id: str) -> None:
    order = {"command": "stop", "given_by": "a test"}
    assert client.post(f"/api/runs/{run_id}/commands", json=order).is_success


def assert_nothing_is_left(client: httpx.Client, run_id: str, stopped: Outcome, family: list[psutil.Process]) -> None:
    assert stopped.code == 130, stopped.errors
    assert "Traceback" not in stopped.errors
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []
    wait_until(lambda: client.get(f"/api/runs/{run_id}").json()["state"] == "stopped", "stopped")


@pytest.mark.parametrize("engine", ["inprocess", pytest.param("superlink", marks=pytest.mark.thorough), RAY_TOO])
@pytest.mark.parametrize("by", ["api", "signal"])
def test_a_run_is_stopped_although_its_workers_never_come(
    engine: str, by: str, undisturbed: dict[str, Any], small: list[str], home: Path, monitor: MonitorProcess
) -> None:
    run_id = f"starting-{engine}-{by}"
    command = ["run", "blood", *small, "--engine", engine, "--monitor", monitor.url, "--run-id", run_id]
    with monitor.client() as client, running(*command) as process:
        template_of(process.pid).suspend()
        wait_until(lambda: client.get(f"/api/runs/{run_id}").is_success, "the run at the monitor")
        family = processes_of(process.pid)
        if by == "api":
            order_stop(client, run_id)
        else:
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert_nothing_is_left(client, run_id, Outcome(process.returncode, output, errors), family)


@pytest.mark.parametrize("engine", ["inprocess", pytest.param("superlink", marks=pytest.mark.thorough), RAY_TOO])
def test_a_run_is_stopped_while_it_evaluates_and_resumes_to_the_same_model(
    engine: str,
    undisturbed: dict[str, Any],
    small: list[str],
    home: Path,
    monitor: MonitorProcess,
    client: httpx.Client,
) -> None:
    command = ["run", "blood", *small, "--engine", engine, "--monitor", monitor.url]
    evaluating = f"evaluating-{engine}"

    assert_stopped(client, evaluating, home / "runs" / evaluating / "events.jsonl", command, hold_evaluation)

    assert client.get(f"/api/runs/{evaluating}").json()["round"] == 1
    there = ["--home", home, "--engine", "inprocess", "--monitor", monitor.url]
    resumed = forked("resume", evaluating, *there, *BARE, "--json")
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


@pytest.mark.parametrize("by", ["api", "signal"])
def test_a_run_is_stopped_while_its_images_are_made_and_says_so(
    by: str, tmp_path: Path, monitor: MonitorProcess, client: httpx.Client
) -> None:
    run_id, log = f"preparing-{by}", tmp_path / "runs" / f"preparing-{by}" / "events.jsonl"
    data = ("--data", "phantom", "--backbone", "untrained", "--home", tmp_path)  # all 17,092 images of it
    with running("run", "blood", *data, "--monitor", monitor.url, "--run-id", run_id) as process:
        wait_for_event(log, lambda event: isinstance(event, StageProgress) and event.stage == "dataset", "the images")
        wait_until(lambda: client.get(f"/api/runs/{run_id}").is_success, "the run at the monitor")
        family = processes_of(process.pid)
        if by == "api":
            order_stop(client, run_id)
        else:
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert_nothing_is_left(client, run_id, Outcome(process.returncode, output, errors), family)

    told = read_events(log)
    assert [event.type for event in told if event.type.startswith("run_")] == ["run_requested", "run_stopped"]
    assert not any(isinstance(event, StageProgress) and event.status == "completed" for event in told)
    assert not list(tmp_path.glob("assets/dataset/[!.]*"))


def test_bounds_are_stopped_at_the_monitor_and_the_run_stays_completed(
    small: list[str], home: Path, monitor: MonitorProcess, client: httpx.Client
) -> None:
    log = home / "runs" / "bounding" / "events.jsonl"
    options = [option for option in small if option not in BARE]
    # Bounds of their own, of so many epochs that they are not done before they are stopped; the run itself has none.
    longer = ["--set", "learning.epochs=400", "--strategy", "closed_form", "--rounds", "1", "--seed", "5"]
    with forked_running("run", "blood", *options, *longer, "--monitor", monitor.url, "--run-id", "bounding") as run:
        wait_for_event(log, lambda event: isinstance(event, StageProgress) and event.stage == "bounds", "the bounds")
        wait_until(lambda: client.get("/api/runs/bounding").json()["allowed"] == ["stop"], "what can be stopped")
        family = run.family()
        order_stop(client, "bounding")
        stopped = run.wait()

    assert stopped.code == 130, stopped.errors
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []
    wait_until(lambda: client.get("/api/runs/bounding").json()["allowed"] == [], "its end")
    shown = client.get("/api/runs/bounding").json()
    (given,) = client.get("/api/runs/bounding/commands").json()["commands"]
    assert (shown["state"], given["outcome"]) == ("completed", "effective")
    assert shown["model_sha256"]
    assert not (home / "runs" / "bounding" / "bounds.json").exists()


def test_a_request_is_stopped_before_its_process_has_said_anything(
    tmp_path: Path, monitor: MonitorProcess, client: httpx.Client
) -> None:
    body = {"run_id": "early", "request": {"phase": "blood", "overrides": {"dataset.source": "phantom"}}}
    assert client.post("/api/runs", json=body).is_success
    with running("agent", "--once", "--home", tmp_path, "--monitor", monitor.url) as agent:
        wait_until(lambda: client.get("/api/runs/early").json()["state"] == "starting", "the claim")
        order_stop(client, "early")
        assert agent.wait(timeout=PATIENCE_SECONDS) == 0

    assert client.get("/api/runs/early").json()["state"] == "stopped"
    for folder in (tmp_path / "runs").glob("*"):  # where it had begun to be prepared it says that it has stopped
        assert [event.type for event in read_events(folder / "events.jsonl")][-1] == "run_stopped"
