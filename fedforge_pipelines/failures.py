"""Why a Dagster run failed, in the words of what failed in it."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg

_LONGEST_CAUSE = 20


def failure_reason(failure: dg.DagsterEvent, instance: dg.DagsterInstance, run_id: str) -> str:
    """The cause behind the event that ends a failed Dagster run, which itself names no more than the steps."""
    data = failure.event_specific_data
    step: dg.DagsterEvent | None = getattr(data, "first_step_failure_event", None)
    if step is not None:
        return f"{(step.step_key or 'a step').replace('__', '/')}: {_cause_of_step(step)}"
    error = getattr(data, "error", None)
    if error is not None:
        return _innermost(error)
    return _last_word(instance, run_id) or failure.message or "the Dagster run failed."


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


def _last_word(instance: dg.DagsterInstance, run_id: str) -> str:
    """What Dagster itself noted last of a run that it has failed from outside: how its process ended."""
    notes = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return next((str(each.message) for each in reversed(notes) if each.message), "")
