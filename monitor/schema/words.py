"""What each event says, in one sentence that a visitor understands: the same in the log, on a screen and in a terminal.

A sentence is a text with fields of its event in braces; `{node}`, `{task}`, `{seconds}`, `{bytes}` and `{sites}` are
written out. Where a field decides what happened, there is one for each of its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from monitor.schema.base import Contract, EventBase

_KILO = 1000
_LONG_SECONDS = 120
_FIELD = re.compile(r"\{(\w+)\}")


class Sentence(Contract):
    """What an event says.

    Args:
        text: with fields in braces; the one to take where `by` has no text.
        by: a field whose value chooses the text.
        texts: by value of that field.
    """

    text: str
    by: str | None = None
    texts: dict[str, str] = Field(default_factory=dict)


def _one(text: str) -> Sentence:
    return Sentence(text=text)


def _by(field: str, text: str, **texts: str) -> Sentence:
    return Sentence(text=text, by=field, texts=texts)


TASKS: Mapping[str, str] = {
    "statistics": "sum up its features",
    "train": "train the model",
    "evaluate": "evaluate the model",
}
"""What a node is asked to do, after "to"."""

STAGES: Mapping[str, str] = {
    "download": "The images are downloaded",
    "dataset": "The images are read and checked",
    "audit": "The images are audited",
    "partition": "The rows are given to the sites",
    "backbone": "The backbone is made ready",
    "features": "The backbone looks at every image once",
    "shards": "Each site is given its rows",
    "results": "The final model is scored",
    "bounds": "What the scores lie between is computed",
    "report": "The report is written",
}
"""What is done before and after the federated part, as the beginning of a sentence."""

SENTENCES: Mapping[str, Sentence] = {
    "run_requested": _one("A run of {phase} is asked for, by {requested_by}."),
    "run_started": _one("The federation begins: {rounds_total} rounds with {clients} sites, engine {engine}."),
    "stage_progress": _by(
        "status",
        "{stage_words}: {progress}.",
        completed="{stage_words}: done.",
        given_up="{stage_words}: given up.",
    ),
    "run_described": _one("What the run is made of: {images}, {backbone_name}."),
    "site_described": _one("{node} holds {rows} rows for training and {validation_rows} for validation."),
    "site_seen": _by(
        "at",
        "{node} is {status}.",
        asked="{node} is {status}, and what it is asked for waits for it.",
        fetched="{node} is {status}, and has what it is asked for.",
        answering="{node} is {status}, and its answer is on its way.",
    ),
    "events_dropped": _one("{count} events of {node} are not its own to say, and are left out: {reason}"),
    "site_evaluated": _one("At {node} the final model is right on {accuracy} of {rows} rows."),
    "run_evaluated": _one("On {rows} test rows the final model is right on {accuracy}."),
    "run_bounded": _one(
        "Trained on all rows in one place, a model is right on {centralized_accuracy} of the test rows."
    ),
    "site_bounded": _one("A model of the rows of {node} alone is right on {accuracy} of the test rows."),
    "sites_awaited": _one("{missing} of the sites needed are not connected yet; {connected} are."),
    "run_paused": _one("The run is paused."),
    "run_resumed": _one("The run goes on."),
    "run_stopped": _one("The run has stopped: {reason}"),
    "run_completed": _one("The run is completed and its model is final."),
    "run_failed": _one("The run has failed: {reason}"),
    "node_heartbeat": _one("{node} is at work."),
    "node_error": _one("{node} has failed: {reason}"),
    "round_started": _one("Round {round} begins with {sites} sites."),
    "model_dispatched": _one("The server asks {node} to {task} ({bytes})."),
    "client_train_started": _one("{node} begins to train."),
    "client_train_completed": _one("{node} has trained for {seconds}."),
    "client_update_arriving": _one("The answer of {node} is on its way: part {parts} of {parts_total} ({bytes})."),
    "client_update_uploaded": _one("The answer of {node} has arrived after {seconds} ({bytes})."),
    "client_evaluated": _one("{node} has evaluated the model in {seconds}."),
    "aggregation_started": _one("The server combines what the sites have sent."),
    "aggregation_completed": _one("The server has made a new model of it in {seconds}."),
    "checkpoint_saved": _one("The model of round {round} is safe on disk."),
    "round_completed": _one("Round {round} is done after {seconds}."),
    "command_given": _by(
        "command",
        "{command} is asked for, by {given_by}.",
        pause="The run is asked to pause, by {given_by}.",
        resume="The run is asked to go on, by {given_by}.",
        stop="The run is asked to stop, by {given_by}.",
    ),
    "command_acknowledged": _one("The run has heard of it: {command}."),
    "command_settled": _by(
        "status",
        "The run came to an end before it could be done: {command}.",
        effective="It has come to pass at round {effective_round}: {command}.",
        superseded="Another command has taken its place: {command}.",
    ),
    "run_claimed": _one("The run is carried out by {claimed_by}."),
    "lease_ended": _by(
        "status",
        "The run is no longer that of {claimed_by}.",
        expired="Who carries the run out has not been heard of for too long: {claimed_by}.",
        released="The run is no longer that of {claimed_by}: another attempt begins.",
    ),
    "run_lost": _one("Nothing has been heard of the run for {silent_seconds} s."),
    "run_back": _one("The run is heard of again."),
}
"""By type of event."""


def sentence_of(event: EventBase) -> str:
    """What an event says."""
    return sentence(event.model_dump(mode="json"))


def sentence(event: Mapping[str, Any]) -> str:
    """What an event says, as JSON has it; of a type that is not known, its name."""
    known = SENTENCES.get(event["type"])
    if known is None:
        return f"{event['type']}."
    text = known.texts.get(str(event.get(known.by)), known.text) if known.by else known.text
    fields = _fields(event)
    return _FIELD.sub(lambda found: fields.get(found[1], found[0]), text)


def _fields(event: Mapping[str, Any]) -> dict[str, str]:
    request = event.get("request") or {}
    latency, size = event.get("latency_ms"), event.get("payload_bytes")
    written = {
        "node": _node(str(event["node_id"])),
        "task": TASKS.get(str(event.get("task")), "work"),
        "seconds": "some time" if latency is None else _seconds(latency / 1000),
        "bytes": "size unknown" if size is None else _bytes(size),
        "sites": str(len(event.get("participants") or [])),
        "silent_seconds": f"{event.get('silent_seconds') or 0:.0f}",
        "requested_by": str(request.get("requested_by", "somebody")),
        "stage_words": STAGES.get(str(event.get("stage")), str(event.get("stage"))),
        "progress": _progress(event),
        "images": _images(event.get("data") or {}),
        "backbone_name": _backbone(event.get("backbone") or {}),
        "accuracy": _part((event.get("metrics") or {}).get("accuracy")),
        "centralized_accuracy": _part((event.get("centralized") or {}).get("accuracy")),
        "phase": str(request.get("phase", "a phase")),
    }
    return {name: str(value) for name, value in event.items()} | written


def _progress(event: Mapping[str, Any]) -> str:
    done, total, unit = event.get("done") or 0, event.get("total"), event.get("unit") or "parts"
    left = event.get("seconds_left")
    return (f"{done:,} of {total:,} {unit}" if total else "it has begun") + (
        f", about {_seconds(left)} left" if left is not None else ""
    )


def _images(data: Mapping[str, Any]) -> str:
    if data.get("phantom"):
        return "PHANTOM images, which are generated"
    own = "each site's own images, scored on " if data.get("site_data") == "own" else ""
    return f"{own}{data.get('title', 'images')}" + ("" if data.get("official") else ", not the official archive")


def _backbone(backbone: Mapping[str, Any]) -> str:
    untrained = "" if backbone.get("trained", True) else "the UNTRAINED backbone "
    return f"{untrained}{backbone.get('name', 'a backbone')}"


def _part(value: Any) -> str:
    return "an unknown part" if value is None else f"{100 * value:.1f} %"


def _node(node_id: str) -> str:
    site = node_id.removeprefix("client-")
    return "The server" if node_id == "server" else f"Site {site}" if site != node_id else node_id


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < _LONG_SECONDS else f"{seconds / 60:.0f} min"


def _bytes(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < _KILO:
            break
        amount, unit = amount / _KILO, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
