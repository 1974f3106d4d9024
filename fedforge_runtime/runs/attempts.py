"""What everybody needs who carries out attempts for a monitor: requests as options, and a last word for a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fedforge_runtime.errors import AskError
from fedforge_runtime.telemetry.answers import Outcomes, Snapshot
from fedforge_runtime.telemetry.emitter import new_event
from fedforge_runtime.telemetry.monitor_client import ENDED, MonitorClient
from monitor.schema import RunFailed, RunStopped

_SERVER = "server"


def request_options(profile: str, overrides: Mapping[str, Any]) -> list[str]:
    """A profile and the keys that differ from it as options of `fedforge`."""
    return ["--profile", profile, *(part for each in assignments_of(overrides) for part in ("--set", each))]


def assignments_of(overrides: Mapping[str, Any]) -> list[str]:
    """The keys that differ from a profile as `--set` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


@dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    run_id: str
    attempt: int
    kind: type[RunFailed] | type[RunStopped]
    reason: str


def report_end(
    client: MonitorClient,
    ending: Ending,
    *,
    emitter_id: str,
    unclaimed: bool = False,
    begun: bool = True,
    claimant: str | None = None,
) -> None:
    """Say how an attempt ended where the run could not say so itself: it never began, or was killed.

    One that has ended, or that a later one has replaced, is left as it is; so is everything while the monitor is away.

    Args:
        unclaimed: also where somebody is waited for who carries it out.
        begun: also where the attempt has been heard of: what has begun speaks for itself, or is lost by its silence.
        claimant: who would say so; a run that somebody else has is left as it is.
    """
    with suppress(AskError):
        now = client.ask("GET", f"/api/runs/{ending.run_id}/snapshot", Snapshot)
        run = now["run"]
        if run["attempt"] > ending.attempt or run["state"] in ENDED or (run["claimable"] and not unclaimed):
            return
        if not begun and any(node["node_id"] == _SERVER and node["attempt"] >= ending.attempt for node in now["nodes"]):
            return
        if claimant is not None and run["claimed_by"] not in (None, claimant):
            return
        event = new_event(
            ending.kind,
            emitter_id=emitter_id,
            emitter_seq=1,
            run_id=ending.run_id,
            attempt=ending.attempt,
            round=run["round"],
            node_id=_SERVER,
            role="server",
            reason=ending.reason[:2000],
        )
        client.ask("POST", "/api/events", Outcomes, json={"events": [event.model_dump(mode="json")]})
