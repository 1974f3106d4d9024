"""Carries a federated run out: under its claim at the monitor where there is one, else alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from fedforge_pipelines import claim
from fedforge_pipelines.resources import Fedforge, PhaseSettings, is_over
from fedforge_runtime.config import read_run_config
from fedforge_runtime.errors import FedForgeError, MonitorAwayError, sentences
from fedforge_runtime.processes.environment import ATTEMPT
from fedforge_runtime.storage.artifacts import turn
from fedforge_runtime.telemetry.monitor_client import MonitorAddress

RUN_ID_TAG = "fedforge/run_id"
ATTEMPT_TAG = "fedforge/attempt"
_FROM_FAILURE_TAGS = ("dagster/is_resume_retry", "dagster/is_asset_resume_retry")
_LOOK_SECONDS = 1.0


def hold_request(fedforge: Fedforge, settings: PhaseSettings, context: dg.AssetExecutionContext) -> None:
    """Claim the request that a Dagster run was started for, before its first step does anything.

    Raises:
        dg.Failure: nobody is waited for any more.
    """
    url = fedforge.monitor_url()
    if settings.run_id and url and not _is_completed(fedforge, settings.run_id):
        _hold(fedforge, url, settings.run_id, None, context)


def carry_out(
    fedforge: Fedforge,
    settings: PhaseSettings,
    phase: str,
    context: dg.AssetExecutionContext,
    accepted: dict[str, Any] | None,
) -> dict[str, Any]:
    """Run it, or go on with it where an earlier attempt ended; its summary.

    Args:
        accepted: the model of the phase before.

    Raises:
        dg.Failure: it was stopped, or failed.
    """
    from fedforge_runtime.storage.run_ids import new_run_id

    known = settings.run_id or _failed_run(fedforge, phase, context)
    run_id = known or new_run_id(phase)
    url = fedforge.monitor_url()
    # Both before the monitor is asked for it: the sensor would else start another Dagster run for the same attempt.
    first = {} if known else {ATTEMPT_TAG: "1"}
    context.instance.add_run_tags(context.run.run_id, {RUN_ID_TAG: run_id, **first})
    if url is not None:
        context.log.info(f"The run {run_id} is shown at {fedforge.run_url(run_id)}")
    if _is_completed(fedforge, run_id):
        return fedforge.ask(context, "show", run_id)
    block = _block_of(settings, accepted)
    request = None if settings.run_id else settings.request(phase)
    with _one_at_a_time(fedforge, context), _claimed(fedforge, url, run_id, request, context) as environment:
        if fedforge.opened().run(run_id).exists():
            arguments = ["resume", run_id]
        else:
            defaults = fedforge.defaults()
            place = defaults.options(settings.chosen())
            arguments = ["run", phase, *place, *settings.options(defaults), *block, "--run-id", run_id]
        arguments += ["--bounds" if settings.bounds else "--no-bounds", *(("--monitor", url) if url else ())]
        return fedforge.ask(context, *arguments, environment=environment)


def _failed_run(fedforge: Fedforge, phase: str, context: dg.AssetExecutionContext) -> str | None:
    """The run of this phase that the Dagster run had begun which this one re-executes from its failure."""
    run = context.run
    if run.parent_run_id is None or not any(run.tags.get(tag) == "true" for tag in _FROM_FAILURE_TAGS):
        return None
    parent = context.instance.get_run_by_id(run.parent_run_id)
    run_id = parent.tags.get(RUN_ID_TAG) if parent else None
    if run_id is None or not fedforge.opened().run(run_id).exists():
        return None
    return run_id if read_run_config(fedforge.opened().run(run_id).config).phase == phase else None


def _is_completed(fedforge: Fedforge, run_id: str) -> bool:
    """Whether there is nothing left to do of a run, as where its Dagster run failed after it."""
    from fedforge_runtime.record.state import run_state

    folder = fedforge.opened().run(run_id)
    return folder.exists() and run_state(folder).state == "completed"


def _block_of(settings: PhaseSettings, accepted: dict[str, Any] | None) -> list[str]:
    """Carry the accepted block on, where this phase trains one too and nothing else was asked for."""
    wanted = settings.chosen()
    if accepted is None or "backbone.block_from" in wanted:
        return []
    goes_on = accepted["mode"] == wanted.get("learning.mode") == "last_block"
    return ["--set", f"backbone.block_from={accepted['run_id']}"] if goes_on else []


@contextmanager
def _one_at_a_time(fedforge: Fedforge, context: dg.AssetExecutionContext) -> Iterator[None]:
    """Also where Dagster has lost sight of a run: the kernel releases the lock when its process ends."""
    folder = fedforge.opened().root / "dagster"
    folder.mkdir(parents=True, exist_ok=True)

    def hear() -> None:
        if is_over(context):
            raise dg.Failure("terminated before its turn had come.", allow_retries=False)

    with turn(folder / "federated-run.lock", hear, look_seconds=_LOOK_SECONDS):
        yield


@contextmanager
def _claimed(
    fedforge: Fedforge,
    url: str | None,
    run_id: str,
    request: dict[str, Any] | None,
    context: dg.AssetExecutionContext,
) -> Iterator[dict[str, str]]:
    """Args:
    request: what the monitor is asked for first; `None` where it knows the run.
    """
    if url is None:
        yield {}
        return
    try:
        held = _hold(fedforge, url, run_id, request, context)
    except MonitorAwayError as error:
        if request is None:
            raise dg.Failure(str(error)) from error
        context.log.warning(sentences(str(error), "The run is carried out without it; its events wait in its log."))
        yield {}
        return
    held.handed_on = True
    try:
        yield {ATTEMPT: str(held.attempt)}
    finally:
        claim.release(run_id)


def _hold(
    fedforge: Fedforge, url: str, run_id: str, request: dict[str, Any] | None, context: dg.AssetExecutionContext
) -> claim.Claim:
    this = context.run.run_id
    claimant = {"claimant": claim.claimant_name(this), "url": fedforge.dagster_run_url(this)}

    def note(attempt: int) -> None:
        context.instance.add_run_tags(this, {RUN_ID_TAG: run_id, ATTEMPT_TAG: str(attempt)})

    try:
        # Whoever has a Dagster run executed again wants another attempt at what it was for.
        again = note if context.run.parent_run_id else None
        held = claim.hold(MonitorAddress.parse(url), run_id, request, claimant, again=again)
    except MonitorAwayError:
        raise
    except FedForgeError as error:
        raise dg.Failure(f"{run_id} cannot be carried out: {error}", allow_retries=False) from error
    note(held.attempt)
    return held
