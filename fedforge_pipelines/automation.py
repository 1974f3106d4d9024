"""What starts runs without a person at Dagster: requests at the monitor, and the night."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from fedforge_pipelines.assets import ASSETS
from fedforge_pipelines.carrying import ATTEMPT_TAG, RUN_ID_TAG
from fedforge_pipelines.claim import HELD_OFFER, claimant_name, emitter_id
from fedforge_pipelines.jobs import BASELINE_REGRESSION, CURRICULUM, JOBS, phase_job
from fedforge_pipelines.resources import Fedforge, settings_key
from fedforge_runtime.config import check_phase
from fedforge_runtime.errors import AskError, ConfigError
from fedforge_runtime.runs.attempts import Ending, report_end
from fedforge_runtime.runs.offer import ClaimantDefaults
from fedforge_runtime.runs.offering import waiting_for
from fedforge_runtime.telemetry.answers import Run
from fedforge_runtime.telemetry.monitor_client import LOST, MonitorAddress, MonitorClient
from monitor.schema import RunFailed, RunStopped

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MOST_LAUNCHES = 3
_MOST_DEATHS = 3
_LONGEST_CAUSE = 20
_ROUND_TAG = "fedforge/round"
"""Which round the run was in when a Dagster run was asked for."""
_SCHEDULES_ZONE = "UTC"


@dg.schedule(
    job_name=BASELINE_REGRESSION,
    cron_schedule="0 3 * * *",
    execution_timezone=_SCHEDULES_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def nightly_baseline_regression(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Once a night, unless the last one still runs."""
    if context.instance.get_runs_count(dg.RunsFilter(job_name=BASELINE_REGRESSION, statuses=ACTIVE)):
        return dg.SkipReason("the last comparison still runs")
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}")


SCHEDULES = [nightly_baseline_regression]


@dg.sensor(
    jobs=[job for job in JOBS if job.name != BASELINE_REGRESSION],
    minimum_interval_seconds=4,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def requested_runs(context: dg.SensorEvaluationContext, fedforge: Fedforge) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Starts what the monitor has requests for: each attempt at a run is one Dagster run."""
    url = fedforge.monitor_url()
    if url is None:
        yield dg.SkipReason("there is no monitor; FEDFORGE_MONITOR names one, and `fedforge up` starts one")
        return
    address = MonitorAddress.parse(url)
    defaults = fedforge.defaults()
    HELD_OFFER.keep(address, fedforge.opened(), defaults, checks=fedforge.answers_checks)
    try:
        with MonitorClient(address, emits=True) as client:
            runs = waiting_for(client, HELD_OFFER.name)
    except AskError as error:
        yield dg.SkipReason(str(error))
        return
    asked = [run for run in runs if run["request"]]
    if not asked:
        yield dg.SkipReason("nothing is asked for")
    for run in asked:
        reason = unknown(run, defaults)
        if reason is None:
            end_earlier(context.instance, run["run_id"], next_attempt(run))
            launched = launches(context.instance, run)
            if any(each.status in ACTIVE for each in launched):
                continue
            reason = given_up(run, launched, deaths(context.instance, run))
        if reason is None:
            yield request_for(run, len(launched), former_run(context.instance, run["run_id"]))
        else:
            _report(url, Ending(run["run_id"], next_attempt(run), RunFailed, reason), unclaimed=True)


def unknown(run: Run, defaults: ClaimantDefaults) -> str | None:
    """Why nothing here can carry a request out; `None` where phase, profile and what it names are known."""
    request = run["request"]
    assert request is not None
    try:
        check_phase(request["phase"], request["profile"])
        if next_attempt(run) == 1:  # a later one goes on with what the first was given
            defaults.completed(request["overrides"])
    except ConfigError as error:
        return str(error)
    return None


def next_attempt(run: Run) -> int:
    """The attempt that whoever claims a run carries out."""
    return run["attempt"] + 1 if run["state"] == LOST else run["attempt"]


def launches(instance: dg.DagsterInstance, run: Run) -> Sequence[dg.DagsterRun]:
    """The Dagster runs for the attempt that is waited for, the latest first."""
    return instance.get_runs(dg.RunsFilter(tags=_tags(run)))


def deaths(instance: dg.DagsterInstance, run: Run) -> list[dg.DagsterRun]:
    """Of a run that is lost: the Dagster runs of attempts that got no further than it was before, the latest first."""
    if run["state"] != LOST:
        return []
    same = instance.get_runs(dg.RunsFilter(tags={RUN_ID_TAG: run["run_id"], _ROUND_TAG: str(run["round"])}))
    return list({each.tags[ATTEMPT_TAG]: each for each in reversed(same)}.values())[::-1]


def given_up(run: Run, launched: Sequence[dg.DagsterRun], died: Sequence[dg.DagsterRun]) -> str | None:
    """Why no further Dagster run is started for a request; `None` where one is."""
    if len(died) >= _MOST_DEATHS:
        return (
            f"{len(died)} attempts died without a word in round {run['round']}; the last is Dagster run "
            f"{died[0].run_id}. Where memory runs out, resume it with fewer workers."
        )
    if len(launched) >= _MOST_LAUNCHES:
        return f"{len(launched)} Dagster runs for it ended before it began; the last is {launched[0].run_id}."
    return None


def former_run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    """The last Dagster run that was for a run, of whatever attempt."""
    return next(iter(instance.get_runs(dg.RunsFilter(tags={RUN_ID_TAG: run_id}), limit=1)), None)


def request_for(run: Run, earlier: int, former: dg.DagsterRun | None) -> dg.RunRequest:
    """The Dagster run for a request.

    Args:
        earlier: how many there were for the same attempt that ended before it began.
        former: what it was carried out by before: its settings are kept, and a curriculum goes on to the phases after.
    """
    request = run["request"]
    assert request is not None
    key = settings_key(request["phase"])
    resources: Any = former.run_config.get("resources", {}) if former else {}
    settings = {
        **resources.get(key, {}).get("config", {}),
        "profile": request["profile"],
        "overrides": request["overrides"],
        "run_id": run["run_id"],
    }
    curriculum = former if former and former.job_name == CURRICULUM else None
    return dg.RunRequest(
        run_key=f"{run['run_id']}:{next_attempt(run)}:{earlier}",
        job_name=CURRICULUM if curriculum else phase_job(request["phase"]),
        run_config={"resources": {**resources, key: {"config": settings}}},
        asset_selection=_from_phase_on(request["phase"], curriculum) if curriculum else None,
        tags=_tags(run) | {_ROUND_TAG: str(run["round"])},
    )


def _from_phase_on(phase: str, curriculum: dg.DagsterRun) -> list[dg.AssetKey]:
    """The assets of a curriculum that are still to come when a phase is done again."""
    names = list(ASSETS)
    coming = [asset.key for name in names[names.index(phase) :] for asset in ASSETS[name]]
    return [key for key in coming if curriculum.asset_selection is None or key in curriculum.asset_selection]


def _tags(run: Run) -> dict[str, str]:
    return {RUN_ID_TAG: run["run_id"], ATTEMPT_TAG: str(next_attempt(run))}


def end_earlier(instance: dg.DagsterInstance, run_id: str, attempt: int) -> None:
    """Fail Dagster runs of earlier attempts that claim to go on: the monitor has heard nothing of them for long."""
    for each in instance.get_runs(dg.RunsFilter(tags={RUN_ID_TAG: run_id}, statuses=ACTIVE)):
        if int(each.tags.get(ATTEMPT_TAG, attempt)) < attempt:
            instance.report_run_failed(
                each, f"Nothing is heard of {run_id} any more: attempt {attempt} takes its place."
            )


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=10)
def tell_of_failures(context: dg.RunFailureSensorContext, fedforge: Fedforge) -> None:
    """Has a request that failed before its federated run began fail at the monitor too, with the reason.

    A federated run that has begun says itself how it ended. Where it cannot, since it was killed, it is lost by its
    silence, and goes on from its checkpoint.
    """
    reason = failure_reason(context.failure_event, context.instance, context.dagster_run.run_id)
    _tell(context.dagster_run, fedforge, RunFailed, reason, begun=False)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
)
def tell_of_terminations(context: dg.RunStatusSensorContext, fedforge: Fedforge) -> None:
    """Has a request that was terminated before its federated run began be stopped at the monitor too."""
    _tell(context.dagster_run, fedforge, RunStopped, "terminated in Dagster")


def _tell(
    run: dg.DagsterRun,
    fedforge: Fedforge,
    kind: type[RunFailed] | type[RunStopped],
    reason: str,
    *,
    begun: bool = True,
) -> None:
    url = fedforge.monitor_url()
    if url is not None and RUN_ID_TAG in run.tags and ATTEMPT_TAG in run.tags:
        ending = Ending(run.tags[RUN_ID_TAG], int(run.tags[ATTEMPT_TAG]), kind, reason)
        _report(url, ending, begun=begun, claimant=claimant_name(run.run_id))


def _report(
    url: str, ending: Ending, *, unclaimed: bool = False, begun: bool = True, claimant: str | None = None
) -> None:
    with MonitorClient(MonitorAddress.parse(url), emits=True) as client:
        speaker = emitter_id(ending.attempt)
        report_end(client, ending, emitter_id=speaker, unclaimed=unclaimed, begun=begun, claimant=claimant)


def failure_reason(failure: dg.DagsterEvent, instance: dg.DagsterInstance, run_id: str) -> str:
    """The cause behind the event that ends a failed Dagster run, which itself names no more than the steps."""
    data = failure.event_specific_data
    step: dg.DagsterEvent | None = getattr(data, "first_step_failure_event", None)
    if step is not None:
        return f"{(step.step_key or 'a step').replace('__', '/')}: {_cause_of_step(step)}"
    error = getattr(data, "error", None)
    if error is not None:
        return _innermost(error)
    # What Dagster itself noted last of a run that it has failed from outside: how its process ended.
    notes = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    last = next((str(each.message) for each in reversed(notes) if each.message), "")
    return last or failure.message or "the Dagster run failed."


def _cause_of_step(step: dg.DagsterEvent) -> str:
    data = step.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return _innermost(data.error) if data.error is not None else str(step.message)


def _innermost(error: Any) -> str:
    """What was raised first, without the names of the modules that Dagster puts before it."""
    for _ in range(_LONGEST_CAUSE):
        if error.cause is None:
            break
        error = error.cause
    return re.sub(r"^(\w+\.)+", "", str(error.message).strip())


SENSORS = [requested_runs, tell_of_failures, tell_of_terminations]
