"""How long a run's rounds took, by the time stamps in its event log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from benchmarks.product import FinishedRun
from monitor.schema import AggregationCompleted, ClientTrainStarted, Event, EventBase, RoundCompleted, RoundStarted


def round_seconds(run: FinishedRun) -> float:
    """The median round: training, aggregation, evaluation by clients and server, checkpoint."""
    started = _moments(run.events, RoundStarted)
    completed = _moments(run.events, RoundCompleted)
    return median((completed[number] - started[number]).total_seconds() for number in completed)


def round_seconds_without_evaluation(run: FinishedRun) -> float:
    """The same without what follows the aggregation, the checkpoint excepted.

    The clients' evaluation of their own model is part of their training and stays in.
    """
    started = _moments(run.events, RoundStarted)
    aggregated = _moments(run.events, AggregationCompleted)
    seconds = []
    for event in run.events:
        if isinstance(event, RoundCompleted):
            assert event.latency_ms is not None  # until the checkpoint
            whole = (event.ts - started[event.round]).total_seconds()
            checkpoint = max(whole - event.latency_ms / 1000, 0.0)
            seconds.append((aggregated[event.round] - started[event.round]).total_seconds() + checkpoint)
    return median(seconds)


def startup_seconds(run: FinishedRun) -> float:
    """From the launch to the first client's training."""
    first = min(event.ts for event in run.events if isinstance(event, ClientTrainStarted))
    return (first - run.launched).total_seconds()


def _moments(events: Sequence[Event], kind: type[EventBase]) -> dict[int, datetime]:
    return {event.round: event.ts for event in events if isinstance(event, kind)}
