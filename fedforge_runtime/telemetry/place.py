"""How far a run's log has come at a monitor, and where to go on when the monitor holds less than it once did."""

from __future__ import annotations

import json
from collections.abc import Iterable

from typing_extensions import TypedDict

from fedforge_runtime.telemetry.answers import Held


class Place(TypedDict):
    """Bytes of the log that a monitor has taken, and what it said then that it holds."""

    offset: int
    held: Held | None


def missing_from(log: Iterable[bytes], held: Held) -> int:
    """Bytes of the log before its first event that is not held; lines that are no events are no reason to go back.

    Args:
        log: line by line; one without its end is still being written.
        held: of all emitters of the run.
    """
    reached = {(each["run_id"], each["emitter_id"]): each["emitter_seq"] for each in held["positions"]}
    offset = 0
    for line in log:
        if not line.endswith(b"\n"):
            break
        try:
            event = json.loads(line)
            if event["emitter_seq"] > reached.get((event["run_id"], event["emitter_id"]), 0):
                break
        except (ValueError, RecursionError, KeyError, TypeError):
            pass
        offset += len(line)
    return offset
