"""What starts runs without a person at Dagster: requests at the monitor, and the night."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from fedforge_pipelines.assets import settings_key
from fedforge_pipelines.carrying import ATTEMPT_TAG, RUN_ID_TAG
from fedforge_pipelines.fedforge import Fedforge
from fedforge_pipelines.jobs import BASELINE_REGRESSION, JOBS, phase_job
from fedforge_pipelines.phases import PHASES

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MOST_LAUNCHES = 3
_SCHEDULES_ZONE = "UTC"


@dg.schedule(
    job_name=BASELINE_REGRESSION,
    cron_schedule="0 3 * * *",
    execution_timezone=_SCHEDULES_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def nightly_baseline_regression(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Once a night, unless the last one still runs."""
    active = context.instance.get_runs_count(dg.RunsFilter(job_name=BASELINE_REGRESSION, statuses=ACTIVE))
    if active:
        return dg.SkipReason("the last comparison still runs")
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}")


SCHEDULES = [nightly_baseline_regression]


@dg.sensor(
    jobs=[job for job in JOBS if job.name != BASELINE_REGRESSION],
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def requested_runs(context: dg.SensorEvaluationContext, fedforge: Fedforge) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Starts what the monitor has requests for: each attempt at a run is one Dagster run."""
    from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorAwayError, MonitorClient

    url = fedforge.monitor_url()
    if url is None:
        yield dg.SkipReason("there is no monitor; FEDFORGE_MONITOR names one, and `fedforge up` starts one")
        return
    try:
        with MonitorClient(MonitorAddress.parse(url)) as client:
            runs = client.ask("GET", "/api/runs", params={"claimable": True, "limit": 100})["runs"]
    except MonitorAwayError as error:
        yield dg.SkipReason(str(error))
        return
    asked = [run for run in reversed(runs) if run["request"]]
    if not asked:
        yield dg.SkipReason("nothing is asked for")
    for run in asked:
        end_earlier(context.instance, run["run_id"], next_attempt(run))
        request = request_for(context.instance, run)
        if request is not None:
            yield request


def next_attempt(run: dict[str, Any]) -> int:
    """The attempt that whoever claims a run carries out."""
    attempt: int = run["attempt"]
    return attempt + 1 if run["state"] == "lost" else attempt


def request_for(instance: dg.DagsterInstance, run: dict[str, Any]) -> dg.RunRequest | None:
    """The Dagster run for a request; `None` while there is one, or when several ended before it began."""
    run_id, attempt, request = run["run_id"], next_attempt(run), run["request"]
    tags = {RUN_ID_TAG: run_id, ATTEMPT_TAG: str(attempt)}
    earlier = instance.get_runs(dg.RunsFilter(tags=tags))
    if any(each.status in ACTIVE for each in earlier) or len(earlier) >= _MOST_LAUNCHES:
        return None
    phase = next(phase for phase in PHASES if phase.name == request["phase"])
    settings = {"profile": request["profile"], "overrides": request["overrides"], "run_id": run_id}
    return dg.RunRequest(
        run_key=f"{run_id}:{attempt}:{len(earlier)}",
        job_name=phase_job(phase.name),
        run_config={"resources": {settings_key(phase): {"config": settings}}},
        tags=tags,
    )


def end_earlier(instance: dg.DagsterInstance, run_id: str, attempt: int) -> None:
    """Fail Dagster runs of earlier attempts that claim to go on: the monitor has heard nothing of them for long."""
    for each in instance.get_runs(dg.RunsFilter(tags={RUN_ID_TAG: run_id}, statuses=ACTIVE)):
        if int(each.tags.get(ATTEMPT_TAG, attempt)) < attempt:
            instance.report_run_failed(
                each, f"Nothing is heard of {run_id} any more: attempt {attempt} takes its place."
            )


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=5)
def tell_the_monitor(context: dg.RunFailureSensorContext, fedforge: Fedforge) -> None:
    """Has a request that failed before its federated run began fail at the monitor too, with the reason."""
    from fedforge_pipelines.reporting import report_failure

    tags = context.dagster_run.tags
    url = fedforge.monitor_url()
    if url is not None and RUN_ID_TAG in tags and ATTEMPT_TAG in tags:
        report_failure(url, tags[RUN_ID_TAG], int(tags[ATTEMPT_TAG]), context.failure_event.message or "failed")


RECORDERS = [tell_the_monitor]
