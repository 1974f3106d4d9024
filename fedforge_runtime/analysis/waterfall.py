"""Where the time of a round goes: what the server waited for, and what each site did in that time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pandas as pd

from fedforge_runtime.analysis.tables import EventsOfRound, Row, completed_rounds, frame
from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeError,
    RoundCompleted,
    RoundStarted,
    Task,
)

WAITING = "waiting and transfer"
SERVER_STEPS = ("wait for training", "aggregate", "wait for evaluation", "finish")
"""What a round is made of at the server, one after the other: the last is the central evaluation and the checkpoint."""
SITE_STEPS = ("train", "evaluate", WAITING, "no usable answer")
"""What a site's share of a round is made of."""

_COLUMNS = {
    "round": "int64",
    "attempt": "int64",
    "node_id": "str",
    "task": "str",
    "step": "str",
    "start_seconds": "float64",
    "seconds": "float64",
}
_WORK: dict[Task, type[ClientTrainCompleted] | type[ClientEvaluated]] = {
    "train": ClientTrainCompleted,
    "evaluate": ClientEvaluated,
}


def waterfall(log: Sequence[Event]) -> pd.DataFrame:
    """The steps of each completed round, of the server and of each site that was asked.

    Columns: `round`, `attempt`, `node_id`, `task` (`train` or `evaluate`; missing for the server), `step`,
    `start_seconds` (since the round began) and `seconds`.

    All times are of the server's clock but the seconds of work, which the site has measured: `train` and `evaluate`
    are drawn at the beginning of a site's round trip and `waiting and transfer` is what is left of it, on both ways.
    How long each way took cannot be known without trusting that clocks agree. A site on another machine whose word of
    its work was lost has its whole round trip as waiting.
    """
    rows = [row for events in completed_rounds(log).values() for row in _of_round(events)]
    return frame(rows, _COLUMNS)


def _of_round(events: EventsOfRound) -> Iterator[Row]:
    completed = next(event for event in reversed(events) if isinstance(event, RoundCompleted))
    started = next((event for event in events if isinstance(event, RoundStarted)), None)
    if started is None:
        return
    about = {"round": completed.round, "attempt": completed.attempt}
    for row in [*_server_steps(events, started.ts, completed.ts), *_site_steps(events, started.ts)]:
        yield about | row


def _server_steps(events: EventsOfRound, started: datetime, completed: datetime) -> Iterator[dict[str, object]]:
    """They follow each other without a gap and add up to the round."""
    begun = next((event.ts for event in events if isinstance(event, AggregationStarted)), started)
    made = next((event.ts for event in events if isinstance(event, AggregationCompleted)), begun)
    answered = max((event.ts for event in events if _ends(event, "evaluate")), default=made)
    moments = [started, begun, made, answered, completed]
    for step, start, end in zip(SERVER_STEPS, moments, moments[1:], strict=False):
        yield {
            "node_id": "server",
            "step": step,
            "start_seconds": (start - started).total_seconds(),
            "seconds": (end - start).total_seconds(),
        }


def _site_steps(events: EventsOfRound, started: datetime) -> Iterator[dict[str, object]]:
    for asked in events:
        if not isinstance(asked, ModelDispatched) or asked.task not in _WORK:
            continue
        own = [event for event in events if event.node_id == asked.node_id]
        answer = next((event for event in own if _ends(event, asked.task)), None)
        if answer is None:
            continue
        begun = (asked.ts - started).total_seconds()
        trip = (answer.latency_ms or 0.0) / 1000
        for step, start, seconds in _parts(own, asked.task, answer, trip):
            yield {
                "node_id": asked.node_id,
                "task": asked.task,
                "step": step,
                "start_seconds": begun + start,
                "seconds": seconds,
            }


def _parts(own: EventsOfRound, task: Task, answer: Event, trip: float) -> list[tuple[str, float, float]]:
    """Steps of a round trip of `trip` seconds, with their start in it and their length."""
    if isinstance(answer, NodeError):
        return [("no usable answer", 0.0, trip)]
    work = next((event.latency_ms for event in own if isinstance(event, _WORK[task])), None)
    worked = min((work or 0.0) / 1000, trip)
    return [(task, 0.0, worked), (WAITING, worked, trip - worked)]


def _ends(event: Event, task: Task) -> bool:
    """Whether a site's part in a task is over with it."""
    return isinstance(event, ClientUpdateUploaded | NodeError) and event.task == task
