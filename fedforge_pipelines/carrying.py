"""Carries a federated run out: under its claim at the monitor where there is one, else alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from filelock import FileLock

from fedforge_pipelines import claim
from fedforge_pipelines.fedforge import Fedforge
from fedforge_pipelines.phases import Phase
from fedforge_pipelines.settings import PhaseSettings
from fedforge_runtime.environment import ATTEMPT
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorAwayError

RUN_ID_TAG = "fedforge/run_id"
ATTEMPT_TAG = "fedforge/attempt"


def hold_request(fedforge: Fedforge, settings: PhaseSettings, context: dg.AssetExecutionContext) -> None:
    """Claim the request that a Dagster run was started for, before its first step does anything.

    Raises:
        dg.Failure: nobody is waited for any more.
    """
    url = fedforge.monitor_url()
    if settings.run_id and url:
        _hold(fedforge, url, settings.run_id, None, context)


def carry_out(
    fedforge: Fedforge,
    settings: PhaseSettings,
    phase: Phase,
    context: dg.AssetExecutionContext,
    accepted: dict[str, Any] | None,
) -> dict[str, Any]:
    """Run it, or go on with it where an earlier attempt ended; its summary.

    Args:
        accepted: the model of the phase before.

    Raises:
        dg.Failure: it was stopped, or failed.
    """
    from fedforge_runtime.federation.runs import new_run_id

    run_id = settings.run_id or new_run_id(phase.name)
    url = fedforge.monitor_url()
    # Both before the monitor is asked for it: the sensor would else start another Dagster run for the same attempt.
    first = {} if settings.run_id else {ATTEMPT_TAG: "1"}
    context.instance.add_run_tags(context.run.run_id, {RUN_ID_TAG: run_id, **first})
    if url is not None:
        context.log.info(f"The run {run_id} is shown at {fedforge.run_url(run_id)}")
    block = _block_of(settings, accepted)
    with _one_at_a_time(fedforge), _claimed(fedforge, url, run_id, settings, phase, context) as environment:
        if fedforge.opened().run(run_id).exists():
            arguments = ["resume", run_id]
        else:
            arguments = ["run", phase.name, *settings.options(), *block, "--run-id", run_id]
        watched = ("--monitor", url) if url else ()
        bounds = "--bounds" if settings.bounds else "--no-bounds"
        return fedforge.ask(context, *arguments, bounds, *watched, environment=environment)


def _block_of(settings: PhaseSettings, accepted: dict[str, Any] | None) -> list[str]:
    """Carry the accepted block on, where this phase trains one too and nothing else was asked for."""
    wanted = settings.chosen()
    if accepted is None or "backbone.block_from" in wanted:
        return []
    if not accepted["mode"] == wanted.get("learning.mode") == "last_block":
        return []
    return ["--set", f"backbone.block_from={accepted['run_id']}"]


@contextmanager
def _one_at_a_time(fedforge: Fedforge) -> Iterator[None]:
    """Also where Dagster has lost sight of a run: the kernel releases the lock when its process ends."""
    folder = fedforge.opened().root / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "federated-run.lock"):
        yield


@contextmanager
def _claimed(
    fedforge: Fedforge,
    url: str | None,
    run_id: str,
    settings: PhaseSettings,
    phase: Phase,
    context: dg.AssetExecutionContext,
) -> Iterator[dict[str, str]]:
    if url is None:
        yield {}
        return
    request = None if settings.run_id else settings.request(phase.name)
    try:
        held = _hold(fedforge, url, run_id, request, context)
    except MonitorAwayError as error:
        if settings.run_id:
            raise dg.Failure(str(error)) from error
        context.log.warning(f"{error} The run is carried out without it; its events wait in its log.")
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
    try:
        held = claim.hold(MonitorAddress.parse(url), run_id, request, claimant)
    except MonitorAwayError:
        raise
    except FedForgeError as error:
        raise dg.Failure(f"{run_id} cannot be carried out: {error}", allow_retries=False) from error
    context.instance.add_run_tags(this, {RUN_ID_TAG: run_id, ATTEMPT_TAG: str(held.attempt)})
    return held
