"""`python -m monitor.machine`: the tables that the reducer reads, for the dashboard's reducer to read the same.

What is in a table is written once, here in Python; how it is applied is written twice, and recorded runs hold one
against the other.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from monitor import activity, control
from monitor.reducer import OF_ROUNDS
from monitor.schema import STAND_INS


def tables() -> dict[str, Any]:
    """All of them, by name."""
    follows: dict[str, dict[str, str]] = {}
    for (state, trigger), after in control.TABLE.items():
        follows.setdefault(state, {})[trigger] = after
    return {
        "follows": follows,
        "heard": sorted(control.HEARD),
        "relaunched": sorted(control.RELAUNCHED),
        "ended": sorted(control.ENDED),
        "commands": list(control.Command),
        "notices": sorted(control.OF_EVENTS),
        "state_words": control.STATES,
        "activities": activity.OF_TYPE,
        "preparation": activity.PREPARATION,
        "afterwards": activity.AFTERWARDS,
        "conditions": activity.CONDITION_OF_TYPE,
        "seen": activity.SEEN,
        "least_patience_seconds": activity.LEAST_PATIENCE_SECONDS,
        "patience_factor": activity.PATIENCE_FACTOR,
        "silent_site_seconds": activity.SILENT_SITE_SECONDS,
        "of_rounds": OF_ROUNDS,
        "stand_ins": STAND_INS,
    }


def describe() -> str:
    """The document as it is kept in `dashboard/machine.json`."""
    return json.dumps(tables(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(describe())
