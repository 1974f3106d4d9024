"""From the click on "launch" in Dagster, and from a request at the monitor, to the first round; nothing new to compute.

The images are generated and the backbone is untrained: what is measured is how long the machinery takes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, TypeVar

import httpx

from benchmarks.figures import Results
from benchmarks.product import CommandFailedError
from benchmarks.subject import Subject, fresh_home
from fedforge_runtime.clock import monotonic
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import Home

_OVERRIDES = {
    "dataset.source": "phantom",
    "dataset.limit": 240,
    "backbone.name": "untrained",
    "partition.clients": 3,
    "federation.rounds": 1,
}
_JOB = {"repositoryLocationName": "fedforge", "repositoryName": "__repository__", "jobName": "blood_phase"}
_LAUNCH = """mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) { ... on LaunchRunSuccess { run { runId } } } }"""
_STEPS = (
    "query($run: ID!) { runOrError(runId: $run) { ... on Run { status stepStats { startTime } tags { key value } } } }"
)
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.05

T = TypeVar("T")


def measure(subject: Subject) -> Results:
    """Medians of several launches under `fedforge up`, after one that makes every artifact."""
    with fresh_home() as home, _up(home) as (monitor, dagster):
        _launch(monitor, dagster)
        launches = [_launch(monitor, dagster) for _ in range(subject.effort.startups)]
        requests = [_request(monitor, f"request-{number}") for number in range(subject.effort.startups)]
    return {
        "dagster_click_to_first_step_seconds": median(first_step for first_step, _ in launches),
        "dagster_click_to_first_round_seconds": median(first_round for _, first_round in launches),
        "request_to_starting_seconds": median(starting for starting, _ in requests),
        "request_to_running_seconds": median(running for _, running in requests),
        "dagster_launches": len(launches),
    }


@contextmanager
def _up(home: Home) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    command = [sys.executable, "-m", "fedforge_runtime.cli"]
    ports = ("--monitor-port", "0", "--dagster-port", "0")
    started = subprocess.run(
        [*command, "up", "--detach", "--home", str(home.root), *ports], capture_output=True, text=True, check=False
    )
    if started.returncode != 0:
        raise CommandFailedError(started.stderr)
    state = read_json(home.root / "up" / "state.json")
    try:
        with (
            httpx.Client(base_url=state["monitor"], trust_env=False, timeout=60) as monitor,
            httpx.Client(base_url=state["dagster"], trust_env=False, timeout=60) as dagster,
        ):
            yield monitor, dagster
    finally:
        subprocess.run([*command, "down", "--home", str(home.root)], capture_output=True, check=False)


def _launch(monitor: httpx.Client, dagster: httpx.Client) -> tuple[float, float]:
    """Seconds from the click to the first step, and to the end of the first round."""
    config = {"resources": {"blood_settings": {"config": {"overrides": _OVERRIDES}}}}
    began, clicked = monotonic(), time.time()
    params = {"selector": _JOB, "runConfigData": config, "mode": "default"}
    run = _ask(dagster, _LAUNCH, params=params)["run"]["runId"]
    steps = _wait(
        lambda: [each["startTime"] for each in _ask(dagster, _STEPS, run=run)["stepStats"] if each["startTime"]]
    )
    run_id = _wait(lambda: _tag(_ask(dagster, _STEPS, run=run), "fedforge/run_id"))
    _wait(lambda: monitor.get(f"/api/runs/{run_id}").json().get("round"))
    first_round = monotonic() - began
    _wait(lambda: _ask(dagster, _STEPS, run=run)["status"] == "SUCCESS")
    return min(steps) - clicked, first_round


def _request(monitor: httpx.Client, run_id: str) -> tuple[float, float]:
    """Seconds from the request to `starting`, and to `running`."""
    began = monotonic()
    body = {"run_id": run_id, "request": {"phase": "blood", "overrides": _OVERRIDES}}
    monitor.post("/api/runs", json=body).raise_for_status()
    seconds = []
    for past in (("requested",), ("requested", "starting")):
        _wait(lambda past=past: monitor.get(f"/api/runs/{run_id}").json()["state"] not in past)  # type: ignore[misc]
        seconds.append(monotonic() - began)
    _wait(lambda: monitor.get(f"/api/runs/{run_id}").json()["state"] == "completed")
    return seconds[0], seconds[1]


def _ask(dagster: httpx.Client, query: str, **variables: Any) -> Any:
    answer = dagster.post("/graphql", json={"query": query, "variables": variables}).json()
    return next(iter(answer["data"].values()))


def _tag(run: dict[str, Any], name: str) -> str | None:
    return next((each["value"] for each in run["tags"] if each["key"] == name), None)


def _wait(condition: Callable[[], T]) -> T:
    deadline = monotonic() + _PATIENCE_SECONDS
    while not (value := condition()):
        if monotonic() > deadline:
            raise CommandFailedError("Dagster has not done it in time")
        time.sleep(_LOOK_SECONDS)
    return value
