"""The schedule and the sensors, against a real monitor and Dagster's own records."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from fedforge_pipelines.automation import deaths, nightly_baseline_regression, requested_runs, tell_of_failures
from fedforge_pipelines.claim import HELD_OFFER, claimant_name, hold, release
from fedforge_pipelines.definitions import defs
from fedforge_pipelines.jobs import BASELINE_REGRESSION
from fedforge_pipelines.resources import Fedforge
from fedforge_runtime.errors import MonitorRefusedError
from fedforge_runtime.telemetry.monitor_client import MonitorAddress
from tests.e2e.command import wait_until
from tests.support.monitor_process import MonitorProcess, event_of, of_server, started
from tests.support.patience import PATIENCE_SECONDS

NIGHT = datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def _no_offer() -> Iterator[None]:
    yield
    HELD_OFFER.end()


def add_run(
    instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None, **more: Any
) -> dg.DagsterRun:
    return instance.add_run(
        dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=status, tags=tags or {}, **more)
    )


def tick(
    instance: dg.DagsterInstance, monitor: str, home: str = "", *, checks: bool = False
) -> list[dg.RunRequest | dg.SkipReason]:
    """What the sensor says now."""
    fedforge = Fedforge(home=home, monitor=monitor, answers_checks=checks)
    context = dg.build_sensor_context(instance=instance, resources={"fedforge": fedforge})
    return list(requested_runs(context))  # type: ignore[call-overload]


def requests_for(instance: dg.DagsterInstance, monitor: MonitorProcess, run_id: str) -> list[dg.RunRequest]:
    found = tick(instance, monitor.url)
    return [each for each in found if isinstance(each, dg.RunRequest) and each.tags["fedforge/run_id"] == run_id]


def ask_for(client: httpx.Client, run_id: str, phase: str = "blood", **overrides: Any) -> None:
    request = {"phase": phase, "profile": "tuned", "overrides": overrides}
    assert client.post("/api/runs", json={"run_id": run_id, "request": request}).is_success


def test_dagster_offers_what_it_takes_and_says_what_a_request_would_be_while_its_sensor_is_evaluated(
    instance: dg.DagsterInstance, monitor: MonitorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDFORGE_DEFAULTS", "partition.clients=3 dataset.source=phantom backbone.name=untrained")

    def offers() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/api/offers").json()["offers"]
        return found

    with monitor.client() as client:
        tick(instance, monitor.url, str(tmp_path), checks=True)
        (offered,) = wait_until(lambda: [each for each in offers() if each["offer"]["checks"]], "an offer with checks")
        assert offered["claimant"].startswith("Dagster on ")
        assert offered["offer"]["defaults"]["values"]["path"]["partition.clients"] == 3
        request = {"phase": "blood", "overrides": {"dataset.limit": 300}}
        view = client.post("/api/checks", json={"request": request}).json()
        assert view["answer"]["valid"]
        assert len(view["answer"]["sites"]) == 3

        HELD_OFFER.end()
        assert offers() == []


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


def fail(
    instance: dg.DagsterInstance, monitor: MonitorProcess, run: dg.DagsterRun, event: dg.DagsterEvent | None = None
) -> tuple[str, str]:
    """What a Dagster run's failure leaves its run at the monitor as: state and reason."""
    failure = event or dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.RUN_FAILURE.value, job_name=run.job_name, message="for a test"
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="tell_of_failures", dagster_event=failure, dagster_instance=instance, dagster_run=run
    ).for_run_failure()
    tell_of_failures(context, fedforge=Fedforge(monitor=monitor.url))
    with monitor.client() as client:
        view = client.get(f"/api/runs/{run.tags['fedforge/run_id']}").json()
    return str(view["state"]), str(view["reason"])


def claim_for(client: httpx.Client, run_id: str, run: dg.DagsterRun) -> None:
    claimant = {"claimant": claimant_name(run.run_id)}
    assert client.post(f"/api/runs/{run_id}/claim", json=claimant).is_success


def test_a_dagster_run_that_did_not_get_a_run_does_not_end_it_when_it_fails(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "held")
    (request,) = requests_for(instance, monitor, "held")
    holder, other = (
        add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, dict(request.tags)) for _ in range(2)
    )
    claim_for(client, "held", holder)

    assert fail(instance, monitor, other)[0] == "starting"
    assert fail(instance, monitor, holder) == ("failed", "for a test")


def test_a_run_that_has_begun_is_left_to_speak_for_itself_or_be_lost(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "begun")
    (request,) = requests_for(instance, monitor, "begun")
    first = add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, dict(request.tags))
    claim_for(client, "begun", first)
    assert client.post("/api/events", json={"events": [started("begun")]}).is_success

    assert fail(instance, monitor, first)[0] == "running"

    ended = of_server("begun", 2, "run_failed", reason="its own")
    assert client.post("/api/events", json={"events": [ended]}).is_success
    order = {"command": "resume", "given_by": "a test"}
    assert client.post("/api/runs/begun/commands", json=order).is_success
    second = add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, {**request.tags, "fedforge/attempt": "2"})
    claim_for(client, "begun", second)
    assert fail(instance, monitor, second) == ("failed", "for a test")


def refuse() -> None:
    raise dg.Failure("the data folder /nope does not exist.", allow_retries=False)


def break_down() -> None:
    try:
        raise OSError("the cause")
    except OSError as error:
        raise ValueError("what came of it") from error


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refuse, "blood/raw_dataset: the data folder /nope does not exist."),
        (break_down, "blood/raw_dataset: OSError: the cause"),
    ],
)
def test_the_monitor_is_told_the_cause_and_not_the_step(
    instance: dg.DagsterInstance,
    monitor: MonitorProcess,
    client: httpx.Client,
    fault: Callable[[], None],
    reason: str,
) -> None:
    @dg.asset(key_prefix="blood")
    def raw_dataset() -> None:
        fault()

    run_id = fault.__name__
    ask_for(client, run_id)
    tags = {"fedforge/run_id": run_id, "fedforge/attempt": "1"}
    result = dg.materialize([raw_dataset], instance=instance, tags=tags, raise_on_error=False)
    claim_for(client, run_id, result.dagster_run)
    (failure,) = (each for each in result.all_events if each.event_type is dg.DagsterEventType.RUN_FAILURE)

    assert fail(instance, monitor, result.dagster_run, failure) == ("failed", reason)


def test_of_a_worker_that_is_killed_before_its_run_begins_the_monitor_is_told_how_it_ended(
    instance: dg.DagsterInstance, monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "killed")
    tags = {"fedforge/run_id": "killed", "fedforge/attempt": "1"}
    run = add_run(instance, "blood_phase", dg.DagsterRunStatus.STARTED, tags)
    claim_for(client, "killed", run)
    instance.report_engine_event("its process was terminated by signal 9 (SIGKILL).", run)
    failure = instance.report_run_failed(run)

    assert fail(instance, monitor, run, failure) == ("failed", "its process was terminated by signal 9 (SIGKILL).")


def test_a_lost_run_is_given_up_when_attempt_after_attempt_dies_where_the_one_before_did(
    instance: dg.DagsterInstance,
) -> None:
    def lost_in(number: int) -> Any:
        return {"run_id": "dies", "state": "lost", "round": number, "attempt": 9}

    for attempt, round_number in ((1, 0), (2, 3), (3, 3), (3, 3), (4, 3)):
        tags = {"fedforge/run_id": "dies", "fedforge/attempt": str(attempt), "fedforge/round": str(round_number)}
        last = add_run(instance, "blood_phase", dg.DagsterRunStatus.FAILURE, tags)

    assert [each.tags["fedforge/attempt"] for each in deaths(instance, lost_in(3))] == ["4", "3", "2"]
    assert deaths(instance, lost_in(3))[0].run_id == last.run_id
    assert deaths(instance, lost_in(4)) == []
    assert deaths(instance, {**lost_in(3), "state": "resuming"}) == []


def test_who_executes_a_dagster_run_again_gets_another_attempt_at_a_run_that_has_ended(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    ask_for(client, "ended")
    address, claimant = MonitorAddress.parse(monitor.url), {"claimant": "a test"}
    client.post("/api/runs/ended/claim", json=claimant)
    events = [started("ended"), of_server("ended", 2, "run_failed", reason="for a test")]
    assert client.post("/api/events", json={"events": events}).is_success
    announced: list[int] = []

    with pytest.raises(MonitorRefusedError, match="waits for nobody"):
        hold(address, "ended", None, claimant)
    try:
        assert hold(address, "ended", None, claimant, again=announced.append).attempt == 2
    finally:
        release("ended")

    assert announced == [2]
    with pytest.raises(MonitorRefusedError, match="a test has it"):
        hold(address, "ended", None, {"claimant": "another"}, again=announced.append)


def test_a_termination_that_only_dagsters_records_know_of_ends_the_command_in_order(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        @dg.asset
        def asking(context) -> None:  # type: ignore[no-untyped-def]  # Dagster reads annotations, and no text of one
            def terminate() -> None:
                with silent.accept()[0]:  # the command has come so far, and waits for an answer
                    instance.report_run_canceling(context.run)
                    ended.wait(PATIENCE_SECONDS)

            ended = threading.Event()
            thread = threading.Thread(target=terminate)
            thread.start()
            try:
                url = f"http://127.0.0.1:{silent.getsockname()[1]}"
                Fedforge(home=str(tmp_path)).ask(context, "resume", "nothing", "--monitor", url)
            finally:
                ended.set()
                thread.join()

        result = dg.materialize([asking], instance=instance, raise_on_error=False)

    (failure,) = (each.step_failure_data for each in result.all_events if each.is_step_failure)
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.metadata["stopped"].value is True
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED


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
