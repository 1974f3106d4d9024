"""Where the time goes: in a round, what the server waited for and each site did; in a run, what held it up.

That is pauses, ends that it was resumed from, and sites that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

import pandas as pd

from fedforge_runtime.analysis.tables import EventsOfRound, Row, client_of, clients_of, completed_rounds, frame
from monitor.schema import (
    AggregationCompleted,
    AggregationStarted,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientUpdateUploaded,
    Event,
    ModelDispatched,
    NodeError,
    NodeHeartbeat,
    RoundCompleted,
    RoundStarted,
    RunPaused,
    RunStarted,
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
    return frame([row for events in completed_rounds(log).values() for row in _of_round(events)], _COLUMNS)


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


ROUND, UNFINISHED, PAUSE, GAP = "round", "unfinished round", "pause", "between attempts"

_TIMELINE = {
    "kind": "str",
    "round": "int64",
    "attempt": "int64",
    "start_seconds": "float64",
    "seconds": "float64",
}
_LOST = {
    "client": "int64",
    "round": "int64",
    "attempt": "int64",
    "task": "str",
    "reason": "str",
    "at_seconds": "float64",
    "next_round": "Int64",
    "rounds_without": "int64",
}


def timeline(log: Sequence[Event]) -> pd.DataFrame:
    """What the time of a run went to, on its server's clock.

    Columns: `kind`, `round`, `attempt`, `start_seconds` (since the first attempt's federated part began) and
    `seconds`. The kinds: `round`, one that was completed; `unfinished round`, one of which its attempt has said no
    end: it is done again, or still at work; `pause`, before `round`; `between attempts`, from the last word of one to
    the first of the next.
    """
    server = [event for event in log if event.role == "server" and event.node_id != "monitor"]
    zero = _zero(server)
    if zero is None:
        return frame([], _TIMELINE)
    spans = sorted([*_rounds(server), *_pauses(server), *_gaps(server)], key=lambda span: span[3])
    rows: list[Row] = [
        {
            "kind": kind,
            "round": number,
            "attempt": attempt,
            "start_seconds": (start - zero).total_seconds(),
            "seconds": (end - start).total_seconds(),
        }
        for kind, number, attempt, start, end in spans
    ]
    return frame(rows, _TIMELINE)


def lost_sites(log: Sequence[Event]) -> pd.DataFrame:
    """Each time that a site was asked for something and gave no usable answer, in the order in which it happened.

    Columns: `client`, `round`, `attempt`, `task`, `reason`, `at_seconds` (as `start_seconds` of `timeline`),
    `next_round` (the first later one whose model has its update; missing where there is none) and `rounds_without`
    (completed rounds from then on until that, or the end).
    """
    zero, rounds = _zero(log), completed_rounds(log)
    took_part: dict[int, list[int]] = {}
    for row in clients_of(log):
        took_part.setdefault(row["client"], []).append(row["round"])
    rows = []
    for event in log:
        client = client_of(event.node_id)
        if not isinstance(event, NodeError) or event.task is None or client is None:
            continue
        first = event.round + (event.task == "evaluate")  # the update of a site that only did not evaluate is in
        later = [number for number in took_part.get(client, ()) if number >= first]
        missed = [number for number in rounds if first <= number < (later[0] if later else max(rounds) + 1)]
        rows.append(
            {
                "client": client,
                "round": event.round,
                "attempt": event.attempt,
                "task": event.task,
                "reason": event.reason,
                "at_seconds": (event.ts - zero).total_seconds() if zero else None,
                "next_round": later[0] if later else None,
                "rounds_without": len(missed),
            }
        )
    return frame(rows, _LOST)


Span = tuple[str, int, int, datetime, datetime]


def _zero(log: Sequence[Event]) -> datetime | None:
    return next((event.ts for event in log if isinstance(event, RunStarted)), None)


def _rounds(server: Sequence[Event]) -> Iterator[Span]:
    completed = {number: events[0].attempt for number, events in completed_rounds(server).items()}
    of_attempts: dict[tuple[int, int], list[Event]] = {}
    for event in server:
        if isinstance(event, RoundStarted) or (event.round, event.attempt) in of_attempts:
            of_attempts.setdefault((event.round, event.attempt), []).append(event)
    for (number, attempt), events in of_attempts.items():
        done = completed.get(number) == attempt
        end = max(event.ts for event in events if not done or isinstance(event, RoundCompleted))
        yield ROUND if done else UNFINISHED, number, attempt, events[0].ts, end


def _pauses(server: Sequence[Event]) -> Iterator[Span]:
    """From `run_paused` to whatever the run's server says next."""
    for position, event in enumerate(server):
        if isinstance(event, RunPaused):
            of_attempt = [each for each in server[position + 1 :] if each.attempt == event.attempt]
            after = next((each for each in of_attempt if not isinstance(each, NodeHeartbeat)), None)
            end = after.ts if after else max((each.ts for each in of_attempt), default=event.ts)
            yield PAUSE, event.round, event.attempt, event.ts, end


def _gaps(server: Sequence[Event]) -> list[Span]:
    moments: dict[int, list[datetime]] = {}
    for event in server:
        moments.setdefault(event.attempt, []).append(event.ts)
    return [
        (GAP, 0, later, max(moments[earlier]), min(moments[later]))
        for earlier, later in pairwise(sorted(moments))
        if min(moments[later]) > max(moments[earlier])
    ]
