"""Tells the monitor how an attempt ended where the run itself could not."""

from __future__ import annotations

import os
from contextlib import suppress

from fedforge_runtime.telemetry.emitter import new_event
from fedforge_runtime.telemetry.monitor_client import (
    ENDED,
    MonitorAddress,
    MonitorAwayError,
    MonitorClient,
    MonitorRefusedError,
)
from monitor.schema import RunFailed, RunStopped


def report_end(
    address: MonitorAddress,
    run_id: str,
    attempt: int,
    kind: type[RunFailed] | type[RunStopped],
    reason: str,
    *,
    unclaimed: bool = False,
) -> None:
    """Have an attempt end that has not ended yet, and that no later one has replaced.

    Args:
        unclaimed: also where somebody is waited for who carries it out.
    """
    with suppress(MonitorAwayError, MonitorRefusedError), MonitorClient(address) as client:
        run = client.ask("GET", f"/api/runs/{run_id}")
        if run["attempt"] > attempt or run["state"] in ENDED or (run["claimable"] and not unclaimed):
            return
        event = new_event(
            kind,
            emitter_id=f"dagster-{os.getpid()}-{attempt}",
            emitter_seq=1,
            run_id=run_id,
            attempt=attempt,
            round=run["round"],
            node_id="server",
            role="server",
            reason=reason[:2000],
        )
        client.ask("POST", "/api/events", json={"events": [event.model_dump(mode="json")]})
