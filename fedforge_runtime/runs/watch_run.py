"""A run as a monitor sees it, line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from fedforge_runtime.errors import AskError, MonitorRefusedError, RunError
from fedforge_runtime.telemetry.answers import EventPage, Run
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import ENDED, MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach
from monitor.schema import sentence

_LOOK_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 5.0
_PURPOSE = "events"


def follow(address: MonitorAddress, run_id: str, *, say: Callable[[str], None]) -> None:
    """Say each event of a run, those that are there and those that come, until the run has ended.

    Raises:
        MonitorAwayError: the monitor cannot be reached at the beginning; later it is waited for.
        RunError: there is no such run.
    """
    reach = MonitorReach(address, say, meanwhile="It is waited for.")
    away = Backoff(_LOOK_SECONDS, _LONGEST_RETRY_SECONDS)
    with MonitorClient(address) as client:
        seq = 0
        while True:
            try:
                state = client.ask("GET", f"/api/runs/{run_id}", Run)
                page = client.ask("GET", f"/api/runs/{run_id}/events", EventPage, params={"after": seq, "limit": 500})
            except AskError as error:
                if seq == 0 and isinstance(error, MonitorRefusedError):
                    raise RunError(str(error)) from error
                if seq == 0:
                    raise
                # Where it knows the run no longer, its database was lost, and the run sends its events again.
                reach.failed(_PURPOSE, error)
                time.sleep(away.after_failure(error.retry_after))
                continue
            reach.answered(_PURPOSE)
            away.reset()
            for recorded in page["events"]:
                seq = recorded["seq"]
                say(_line(recorded["event"]))
            if page["next_after"] is None and seq >= state["last_seq"]:
                if state["state"] in ENDED:
                    reason = f": {state['reason']}" if state["reason"] else ""
                    say(f"{run_id} is {state['state']}{reason}")
                    return
                time.sleep(_LOOK_SECONDS)


def _line(event: Mapping[str, Any]) -> str:
    metrics = (f"{name} {value:.4f}" for name, value in event["metrics"].items())
    return "  ".join([event["ts"][11:19], f"round {event['round']}", sentence(event), *metrics])
