"""What a run is at, how long that may take without a word, and what a site is at: pure functions of events."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from monitor.schema import EventBase

LEAST_PATIENCE_SECONDS = 60.0
PATIENCE_FACTOR = 3.0
SILENT_SITE_SECONDS = 30.0
"""Six heartbeats of a site that is at work."""


class Condition(StrEnum):
    """What a node is at, as far as its latest event says."""

    WAITING = "waiting"
    WORKING = "working"
    ANSWERING = "answering"
    IDLE = "idle"
    FAILED = "failed"
    SILENT = "silent"
    OFFLINE = "offline"


CONDITIONS: Mapping[Condition, str] = {
    Condition.WAITING: "asked, and not begun: its turn has not come, or the request is on its way",
    Condition.WORKING: "at work",
    Condition.ANSWERING: "done, and its answer is on its way",
    Condition.IDLE: "nothing is asked of it",
    Condition.FAILED: "it has failed in what it was asked for last",
    Condition.OFFLINE: "its node is not connected",
    Condition.SILENT: "it was at work, and its heartbeats have ceased",
}
PREPARATION = "preparation"
AFTERWARDS = ("bounds", "report")
"""Stages after which a run is at nothing."""
ACTIVITIES: Mapping[str, str] = {
    PREPARATION: "the run is being prepared",
    "connection": "the sites connect",
    "statistics": "the sites sum up their features",
    "train": "the sites train",
    "aggregation": "the server combines what the sites have sent",
    "evaluate": "the new model is evaluated",
    "round": "a round ends and the next begins",
    "pause": "the run is paused",
}
"""What a run is at, in words; a stage of its preparation has its own name."""
OF_TYPE: Mapping[str, str | None] = {
    "run_requested": PREPARATION,
    "run_started": "connection",
    "sites_awaited": "connection",
    "round_started": "train",
    "client_train_started": "train",
    "client_train_completed": "train",
    "aggregation_started": "aggregation",
    "aggregation_completed": "evaluate",
    "client_evaluated": "evaluate",
    "checkpoint_saved": "round",
    "round_completed": "round",
    "run_paused": "pause",
    "run_resumed": PREPARATION,
    **dict.fromkeys(("run_completed", "run_failed", "run_stopped")),
}
CONDITION_OF_TYPE: Mapping[str, Condition] = {
    "model_dispatched": Condition.WAITING,
    "client_train_started": Condition.WORKING,
    "node_heartbeat": Condition.WORKING,
    "client_train_completed": Condition.ANSWERING,
    "client_evaluated": Condition.ANSWERING,
    "client_update_arriving": Condition.ANSWERING,
    "node_error": Condition.FAILED,
}
SEEN: Mapping[str, Condition] = {
    "asked": Condition.WAITING,
    "fetched": Condition.WORKING,
    "answering": Condition.ANSWERING,
    "offline": Condition.OFFLINE,
}


def activity_after(event: EventBase, before: str | None) -> str | None:
    """What a run is at after an event of it, in one word: a stage of preparation, a task of its sites, or its own work.

    What says nothing of it, an error of one site for example, leaves it as it is.
    """
    kind = getattr(event, "type", "")
    if kind == "stage_progress":
        stage: str = event.stage  # type: ignore[attr-defined]
        return stage if event.status == "running" else None if stage in AFTERWARDS else PREPARATION  # type: ignore[attr-defined]
    task = getattr(event, "task", None)
    if task is not None and kind != "node_error":
        return str(task)
    return OF_TYPE.get(kind, before)


def patience_seconds(activity: str | None, longest_gaps: Mapping[str, float]) -> float:
    """How long nothing but heartbeats may come in an activity before the run counts as stalled."""
    return max(LEAST_PATIENCE_SECONDS, PATIENCE_FACTOR * longest_gaps.get(activity or PREPARATION, 0.0))


def condition_of(latest_event: str, status: str, silent_seconds: float | None) -> Condition:
    """What a node is at.

    Only of one that sends heartbeats can be said that it is silent: a site on another machine sends none.
    """
    if latest_event == "node_heartbeat" and silent_seconds is not None and silent_seconds > SILENT_SITE_SECONDS:
        return Condition.SILENT
    if latest_event == "site_seen":
        return SEEN.get(status, Condition.IDLE)
    return CONDITION_OF_TYPE.get(latest_event, Condition.IDLE)
