"""The schedule and the sensors, against a real monitor and Dagster's own records."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from fedforge_pipelines.automation import nightly_baseline_regression, requested_runs, tell_of_failures
from fedforge_pipelines.claim import claimant_name
from fedforge_pipelines.definitions import defs
from fedforge_pipelines.fedforge import Fedforge
from fedforge_pipelines.jobs import BASELINE_REGRESSION
from tests.monitor_process import MonitorProcess, event_of, of_server, started

NIGHT = datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def add_run(
    instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None, **more: Any
) -> dg.DagsterRun:
    return instance.add_run(
        dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=status, tags=tags or {}, **more)
    )


def tick(instance: dg.DagsterInstance, monitor: str) -> list[dg.RunRequest | dg.SkipReason]:
    """What the sensor says now."""
    context = dg.build_sensor_context(instance=instance, resources={"fedforge": Fedforge(monitor=monitor)})
    return list(requested_runs(context))  # type: ignore[call-overload]


def requests_for(instance: dg.DagsterInstance, monitor: MonitorProcess, run_id: str) -> list[dg.RunRequest]:
    found = tick(instance, monitor.url)
    return [each for each in found if isinstance(each, dg.RunRequest) and each.tags["fedforge/run_id"] == run_id]


def ask_for(client: httpx.Client, run_id: str, phase: str = "blood", **overrides: Any) -> None:
    request = {"phase": phase, "profile": "tuned", "overrides": overrides}
    assert client.post("/api/runs", json={"run_id": run_id, "request": request}).is_success


def test_the_night_asks_once_for_each_date_and_not_while_the_last_one_runs(instance: dg.DagsterInstance) -> None:
    def ask() -> Any:
        return nightly_baseline_regression(dg.build_schedule_context(instance=instance, scheduled_execution_time=NIGHT))

    request = ask()
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2026-11-24"
    add_run(instance, "curriculum", dg.DagsterRunStatus.STARTED)
    assert isinstance(ask(), dg.RunRequest)
    add_run(instance, BASELINE_REGRESSION, dg.DagsterRunStatus.STARTED)
    assert isinstance(ask(), dg.SkipReason)


def test_a_request_becomes_one_dagster_run_with_its_settings(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "wanted", "derma", **{"federation.rounds": 3})

    (request,) = requests_for(instance, monitor, "wanted")

    assert request.job_name == "derma_phase"
    assert request.run_key == "wanted:1:0"
    settings = request.run_config["resources"]["derma_settings"]["config"]
    assert settings == {"profile": "tuned", "overrides": {"federation.rounds": 3}, "run_id": "wanted"}
    add_run(instance, "derma_phase", dg.DagsterRunStatus.STARTING, dict(request.tags))
    assert requests_for(instance, monitor, "wanted") == []


def test_an_attempt_whose_dagster_runs_end_before_they_begin_is_given_up_with_a_reason(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "hopeless")
    keys = []
    while requests := requests_for(instance, monitor, "hopeless"):
        keys.append(requests[0].run_key)
        add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, dict(requests[0].tags))

    assert keys == ["hopeless:1:0", "hopeless:1:1", "hopeless:1:2"]
    view = client.get("/api/runs/hopeless").json()
    assert view["state"] == "failed"
    assert "3 Dagster runs for it ended before it began" in view["reason"]


def test_a_resumed_run_is_a_new_attempt_and_a_dagster_run_that_claims_to_go_on_is_failed(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "again")
    (first,) = requests_for(instance, monitor, "again")
    dead = add_run(instance, "blood_phase", dg.DagsterRunStatus.STARTED, dict(first.tags))
    client.post("/api/runs/again/claim", json={"claimant": "a test"})
    ended = [started("again"), of_server("again", 2, "run_failed", reason="for a test")]
    assert client.post("/api/events", json={"events": ended}).is_success
    order = {"command": "resume", "given_by": "a test"}
    assert client.post("/api/runs/again/commands", json=order).is_success

    (second,) = requests_for(instance, monitor, "again")

    assert second.run_key == "again:2:0"
    run = instance.get_run_by_id(dead.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_dagster_run_that_did_not_get_a_run_does_not_end_it_when_it_fails(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    def fail(dagster_run: dg.DagsterRun) -> str:
        """What a Dagster run's failure leaves the run as."""
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.RUN_FAILURE.value, job_name=dagster_run.job_name, message="for a test"
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failures", dagster_event=event, dagster_instance=instance, dagster_run=dagster_run
        ).for_run_failure()
        tell_of_failures(context, fedforge=Fedforge(monitor=monitor.url))
        return str(client.get("/api/runs/held").json()["state"])

    ask_for(client, "held")
    (request,) = requests_for(instance, monitor, "held")
    holder, other = (
        add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, dict(request.tags)) for _ in range(2)
    )
    assert client.post("/api/runs/held/claim", json={"claimant": claimant_name(holder.run_id)}).is_success

    assert fail(other) == "starting"
    assert fail(holder) == "failed"


@pytest.mark.parametrize("without_path", [False, True])
def test_a_curriculum_whose_run_is_done_again_goes_on_to_the_phases_after(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client, without_path: bool
) -> None:
    run_id = f"second-of-three-{without_path}"
    ask_for(client, run_id, "derma", **{"federation.rounds": 3})
    chosen = {
        "blood_settings": {"config": {"rounds": 2}},
        "derma_settings": {"config": {"rounds": 3, "bounds": False}},
    }
    tags = {"fedforge/run_id": run_id, "fedforge/attempt": "1"}
    selection = frozenset(dg.AssetKey([phase, "features"]) for phase in ("blood", "derma")) if without_path else None
    add_run(
        instance,
        "curriculum",
        dg.DagsterRunStatus.FAILURE,
        tags,
        run_config={"resources": chosen},
        asset_selection=selection,
    )

    (request,) = requests_for(instance, monitor, run_id)

    assert request.job_name == "curriculum"
    assert request.asset_selection is not None
    assert {key.path[0] for key in request.asset_selection} == ({"derma"} if without_path else {"derma", "path"})
    assert dg.AssetKey(["derma", "features"]) in request.asset_selection
    resources = request.run_config["resources"]
    assert resources["blood_settings"] == chosen["blood_settings"]
    settings = resources["derma_settings"]["config"]
    assert (settings["run_id"], settings["bounds"]) == (run_id, False)
    dg.validate_run_config(defs.resolve_job_def("curriculum"), request.run_config)


def test_a_run_that_nobody_asked_for_here_is_not_started(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    client.post("/api/events", json={"events": [event_of("by-hand", 1)]})

    assert requests_for(instance, monitor, "by-hand") == []


def test_without_a_monitor_the_sensor_says_so(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDFORGE_MONITOR", raising=False)
    (none,) = tick(instance, "")
    (away,) = tick(instance, "http://127.0.0.1:9")

    assert isinstance(none, dg.SkipReason)
    assert "FEDFORGE_MONITOR" in str(none.skip_message)
    assert isinstance(away, dg.SkipReason)
    assert "cannot be reached" in str(away.skip_message)
