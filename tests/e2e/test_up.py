"""Monitor and Dagster as an operator has them: requests, terminations and a code server that is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from monitor.schema import ClientTrainStarted
from tests.e2e.command import fedforge, hold_training, processes_of, refusal, wait_for_event, wait_until
from tests.support.built_dashboard import write_dashboard
from tests.support.engines import needs_ray
from tests.support.monitor_process import MonitorProcess, plain_client
from tests.support.patience import PATIENCE_SECONDS

JOB = {"repositoryLocationName": "fedforge", "repositoryName": "__repository__", "jobName": "blood_phase"}
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
GO_ON = """mutation($parent: String!) { launchRunReexecution(
  reexecutionParams: { parentRunId: $parent, strategy: FROM_FAILURE }) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status tags { key value } } } }"
"""A guard: six steps and a federated run, beside whatever else the machine does."""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


EVENTS = "query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events { __typename } } } }"
_UNHEARD_SECONDS = 30.0
"""Longer than a stop takes on a busy machine, and shorter than Dagster waits for one that is not heard."""


@dataclass
class Up:
    """What `fedforge up --detach` has started."""

    home: Path
    process_id: int
    monitor: httpx.Client
    dagster: httpx.Client

    def ask(self, query: str, **variables: Any) -> Any:
        answer = self.dagster.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer
        return next(iter(answer["data"].values()))

    def dagster_runs(self, run_id: str) -> dict[int, str]:
        """The states of the Dagster runs of a run, by attempt."""
        found = {}
        for each in self.ask(RUNS)["results"]:
            tags = {tag["key"]: tag["value"] for tag in each["tags"]}
            if tags.get("fedforge/run_id") == run_id:
                found[int(tags["fedforge/attempt"])] = each["status"]
        return found

    def dagster_run(self, run_id: str, attempt: int) -> str:
        """The Dagster run of an attempt, once it is there."""

        def found() -> str | None:
            for each in self.ask(RUNS)["results"]:
                tags = {tag["key"]: tag["value"] for tag in each["tags"]}
                if (tags.get("fedforge/run_id"), tags.get("fedforge/attempt")) == (run_id, str(attempt)):
                    return str(each["runId"])
            return None

        return str(wait_until(found, f"the Dagster run of attempt {attempt}"))

    def code_server(self) -> psutil.Process:
        """Once it is there."""

        def found() -> psutil.Process | None:
            for each in psutil.Process(self.process_id).children():
                with suppress(psutil.Error):
                    if "grpc" in each.cmdline():
                        return each
            return None

        process: psutil.Process = wait_until(found, "the code server")
        return process

    def shown(self, run_id: str) -> dict[str, Any]:
        view: dict[str, Any] = self.monitor.get(f"/api/runs/{run_id}").json()
        return view

    def wait_for_state(self, run_id: str, state: str) -> None:
        wait_until(lambda: self.shown(run_id).get("state") == state, f"{state} of {run_id}")

    def log(self, run_id: str) -> Path:
        return self.home / "runs" / run_id / "events.jsonl"


@pytest.fixture(scope="module")
def overrides(tiny_backbone: Path) -> dict[str, Any]:
    """As those of `small`, so that the model is that of the undisturbed run."""
    return {
        "dataset.source": "phantom",
        "dataset.limit": 240,
        "backbone.name": str(tiny_backbone),
        "partition.clients": 3,
        "federation.rounds": 3,
        "learning.epochs": 8,
        "learning.learning_rate": 0.02,
        "runtime.workers": 2,
    }


def times_of(client: httpx.Client, run_id: str) -> tuple[str, str]:
    """When a run started and when it completed, as its server says."""
    page = client.get(f"/api/runs/{run_id}/events", params={"limit": 500}).json()
    when = {each["event"]["type"]: each["event"]["ts"] for each in page["events"]}
    return when["run_started"], when["run_completed"]


def request(client: httpx.Client, run_id: str, overrides: dict[str, Any]) -> None:
    body = {"run_id": run_id, "request": {"phase": "blood", "overrides": overrides}}
    assert client.post("/api/runs", json=body).status_code == httpx.codes.CREATED


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, overrides: dict[str, Any]) -> Iterator[Up]:
    """Up, with two requests that were made before Dagster was there."""
    home = tmp_path_factory.mktemp("up")
    with MonitorProcess(home) as alone, alone.client() as client:
        request(client, "asked-before", overrides)
        request(client, "asked-beside", {**overrides, "partition.clients": 2, "federation.rounds": 1})
    dashboard = {"FEDFORGE_MONITOR_DASHBOARD": str(write_dashboard(home / "dashboard"))}
    ports = ("--monitor-port", "0", "--dagster-port", "0")
    started = fedforge("up", "--detach", "--home", home, *ports, environment=dashboard)
    assert started.code == 0, started.errors
    state = json.loads((home / "up" / "state.json").read_text())
    assert f"dashboard at {state['monitor']}/\n" in started.output
    family = processes_of(state["process_id"])
    try:
        with (
            plain_client(state["monitor"]) as monitor,
            plain_client(state["dagster"]) as dagster,
        ):
            yield Up(home, state["process_id"], monitor, dagster)
        assert fedforge("down", "--home", home).code == 0
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        assert alive == []
        assert "nothing" in refusal(fedforge("down", "--home", home))
    finally:
        for process in [*family, *processes_of(state["process_id"])]:
            if process.is_running():
                process.kill()


def test_a_request_waits_for_dagster_and_ends_with_the_model_of_a_run_by_hand(
    up: Up, undisturbed: dict[str, Any], overrides: dict[str, Any]
) -> None:
    request(up.monitor, "asked-before", overrides)  # the same again is the same run

    up.wait_for_state("asked-before", "completed")

    assert up.shown("asked-before")["model_sha256"] == undisturbed["model_sha256"]
    assert str(up.shown("asked-before")["claimed_by"]).startswith("Dagster run ")
    wait_until(lambda: up.dagster_runs("asked-before") == {1: "SUCCESS"}, "one Dagster run that succeeded")
    (phase,) = up.monitor.get("/api/phases").json()["phases"]
    assert (phase["phase"], phase["source"], phase["blockers"]) == ("blood", "dagster", [])
    assert phase["accepted"]["run_id"] in ("asked-before", "asked-beside")
    assert up.dagster.base_url.host in phase["links"]["Dagster run"]


def test_two_federated_runs_never_overlap_and_read_nothing_of_each_other(up: Up) -> None:
    up.wait_for_state("asked-beside", "completed")

    first, second = sorted(times_of(up.monitor, run_id) for run_id in ("asked-before", "asked-beside"))

    assert first[1] < second[0]
    assert up.shown("asked-beside")["clients"] == 2
    (dagster_run,) = (each["runId"] for each in up.ask(RUNS)["results"] if "asked-beside" in str(each["tags"]))
    assert up.shown("asked-beside")["claimant_url"] == f"{str(up.dagster.base_url).rstrip('/')}/runs/{dagster_run}"


def test_a_second_up_of_the_same_home_is_refused(up: Up) -> None:
    assert "is up already" in refusal(fedforge("up", "--detach", "--home", up.home))


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["superlink", "inprocess", pytest.param("ray", marks=needs_ray)])
def test_terminating_in_dagster_ends_every_process_and_is_a_stop_in_the_monitor(
    up: Up, overrides: dict[str, Any], engine: str
) -> None:
    settings = {"bounds": False, "overrides": {**overrides, "runtime.engine": engine}}
    config = {"resources": {"blood_settings": {"config": settings}}}
    launched = up.ask(LAUNCH, params={"selector": JOB, "runConfigData": config, "mode": "default"})
    run = launched["run"]["runId"]

    def tags() -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in up.ask(RUN, run=run)["tags"]}

    run_id = wait_until(lambda: tags().get("fedforge/run_id"), "the federated run")
    wait_until(lambda: up.log(run_id).exists(), "its log")
    wait_for_event(up.log(run_id), lambda event: isinstance(event, ClientTrainStarted), "training")
    workers = [
        each for each in processes_of(up.code_server().pid) if "fedforge_runtime.processes.lifeline" in each.cmdline()
    ]
    family = [each for worker in workers for each in processes_of(worker.pid)]
    assert family
    assert up.ask(TERMINATE, run=run)["__typename"] == "TerminateRunSuccess"

    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []
    up.wait_for_state(run_id, "stopped")
    wait_until(lambda: up.ask(RUN, run=run)["status"] == "CANCELED", "the end of the Dagster run")


@pytest.mark.thorough
def test_a_code_server_that_is_killed_costs_nothing_but_time(
    up: Up, undisturbed: dict[str, Any], overrides: dict[str, Any]
) -> None:
    request(up.monitor, "killed-server", overrides)
    wait_until(lambda: up.log("killed-server").exists(), "its log")
    hold_training(up.log("killed-server"), 2)
    for process in processes_of(up.code_server().pid):
        process.kill()

    up.wait_for_state("killed-server", "completed")

    assert up.shown("killed-server")["attempt"] == 2
    assert up.shown("killed-server")["model_sha256"] == undisturbed["model_sha256"]
    wait_until(lambda: up.dagster_runs("killed-server") == {1: "FAILURE", 2: "SUCCESS"}, "both Dagster runs' ends")


def test_a_killed_run_worker_a_new_code_server_and_a_termination_cost_nothing_but_time(
    up: Up, undisturbed: dict[str, Any], overrides: dict[str, Any]
) -> None:
    config = {"resources": {"blood_settings": {"config": {"bounds": False, "overrides": overrides}}}}
    first = up.ask(LAUNCH, params={"selector": JOB, "runConfigData": config, "mode": "default"})["run"]["runId"]

    def tags() -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in up.ask(RUN, run=first)["tags"]}

    run_id = str(wait_until(lambda: tags().get("fedforge/run_id"), "the federated run"))
    wait_until(lambda: up.log(run_id).exists(), "its log")
    held, _ = hold_training(up.log(run_id), 2)
    code_server = up.code_server()
    command = next(
        each for each in processes_of(code_server.pid) if "fedforge_runtime.processes.lifeline" in each.cmdline()
    )
    family, worker = processes_of(command.pid), command.parent()
    assert worker is not None
    worker.kill()
    held.resume()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []

    up.wait_for_state(run_id, "lost")
    wait_for_event(
        up.log(run_id), lambda event: isinstance(event, ClientTrainStarted) and event.attempt == 2, "it again"
    )
    up.wait_for_state(run_id, "running")
    second = up.dagster_run(run_id, 2)
    code_server.kill()
    wait_until(lambda: up.code_server().pid != code_server.pid, "another code server")
    up.dagster.post("/graphql", json={"query": TERMINATE, "variables": {"run": second}})
    asked = time.monotonic()
    up.wait_for_state(run_id, "stopped")
    assert time.monotonic() - asked < _UNHEARD_SECONDS
    wait_until(lambda: up.dagster_runs(run_id) == {1: "FAILURE", 2: "CANCELED"}, "the ends of both Dagster runs")

    def is_executed_again() -> bool:
        answer = up.ask(GO_ON, parent=first)
        if answer["__typename"] != "LaunchRunSuccess":
            assert "Could not reach user code server" in answer["message"]  # it is still starting
        return bool(answer["__typename"] == "LaunchRunSuccess")

    wait_until(is_executed_again, "the first Dagster run again")
    up.wait_for_state(run_id, "completed")
    assert up.shown(run_id)["attempt"] == 3
    assert up.shown(run_id)["model_sha256"] == undisturbed["model_sha256"]


def test_a_request_that_cannot_begin_fails_at_the_monitor_with_the_cause_and_is_not_tried_again(
    up: Up, overrides: dict[str, Any]
) -> None:
    request(up.monitor, "nowhere", {**overrides, "dataset.source": str(up.home / "nowhere")})

    up.wait_for_state("nowhere", "failed")

    reason = str(up.shown("nowhere")["reason"])
    assert reason.startswith(f"blood/raw_dataset: the data folder {up.home / 'nowhere'}")
    events = up.ask(EVENTS, run=up.dagster_run("nowhere", 1))["events"]
    assert not [each for each in events if each["__typename"] == "ExecutionStepUpForRetryEvent"]


@pytest.mark.thorough
def test_a_stop_at_the_monitor_ends_the_dagster_run(up: Up, overrides: dict[str, Any]) -> None:
    request(up.monitor, "stopped", overrides)
    wait_until(lambda: up.log("stopped").exists(), "its log")
    wait_for_event(up.log("stopped"), lambda event: isinstance(event, ClientTrainStarted), "training")
    order = {"command": "stop", "given_by": "a test"}
    assert up.monitor.post("/api/runs/stopped/commands", json=order).is_success

    up.wait_for_state("stopped", "stopped")
    wait_until(lambda: up.dagster_runs("stopped") == {1: "FAILURE"}, "the end of the Dagster run")
    assert up.shown("stopped")["state"] == "stopped"


@pytest.mark.parametrize("where", ["monitor", pytest.param("dagster", marks=pytest.mark.thorough)])
def test_what_is_stopped_before_its_federated_run_begins_is_stopped_everywhere(
    up: Up, overrides: dict[str, Any], where: str
) -> None:
    run_id = f"early-{where}"
    request(up.monitor, run_id, {**overrides, "dataset.limit": 241})  # nothing of it is there yet
    up.wait_for_state(run_id, "starting")
    if where == "monitor":
        order = {"command": "stop", "given_by": "a test"}
        assert up.monitor.post(f"/api/runs/{run_id}/commands", json=order).is_success
    else:
        (run,) = (each["runId"] for each in up.ask(RUNS)["results"] if run_id in str(each["tags"]))
        assert up.ask(TERMINATE, run=run)["__typename"] == "TerminateRunSuccess"

    up.wait_for_state(run_id, "stopped")
    ends = {"monitor": "FAILURE", "dagster": "CANCELED"}
    wait_until(lambda: up.dagster_runs(run_id) == {1: ends[where]}, "the end of the Dagster run")
    assert up.shown(run_id)["attempt"] == 1
    assert not up.log(run_id).exists()
