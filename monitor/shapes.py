"""The requests and answers of the API; what a run, a node or a command looks like from outside."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitor.activity import Condition
from monitor.control import Command, Desired, State
from monitor.schema import Event, Holding, Identifier, Link, Person, RunRequest, Sentence, StandIn


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Problem(Shape):
    """Why a request was refused."""

    error: str
    """One sentence with the cause, and one with the remedy where there is one."""
    state: State | None = None
    """Of the run, where its state is the reason."""
    allowed: list[Command] | None = None
    """What is possible now instead."""


class Health(Shape):
    status: Literal["ok"] = "ok"
    version: str


class EventBatch(Shape):
    """Events as emitters made them; each is accepted or refused on its own."""

    events: list[Any] = Field(min_length=1)
    expected: Holding | None = None
    """`held` of the answer to the sender's batch before: where less is held now, nothing of this one is taken."""


class EventResult(Shape):
    """What became of one event of a batch."""

    outcome: Literal["accepted", "duplicate", "refused"]
    event_id: str | None = None
    seq: int | None = None
    error: str | None = None
    """The field that is wrong and why."""


class BatchResult(Shape):
    """What became of a batch, and how far its emitters have come."""

    results: list[EventResult]
    """In the order of the batch; none where less is held than was expected."""
    held: Holding
    """Of the emitters of the batch; where nothing was taken, of all emitters of its runs: send again from there."""


class RecordedEvent(Shape):
    """An event with its place in its run."""

    seq: int
    received_at: AwareDatetime
    deed: bool
    """This monitor did it, and it moves the run; a deed without this was imported, and is history."""
    event: Event


class EventPage(Shape):
    events: list[RecordedEvent]
    next_after: int | None
    """`after` of the next page; `null` where nothing more is there now, and where the newest come first."""
    next_before: int | None = None
    """`before` of the next page where the newest come first; `null` where nothing older is there."""


class HistoryView(Shape):
    """The course of the accuracy in few points: of round 1, 1 + `every`, 1 + 2 `every` …"""

    every: int
    values: list[float]


class RunView(Shape):
    """A run as its events have left it; `lease_expires_at`, `stalled` and `silent_seconds` move with the clock."""

    run_id: str
    phase: str | None
    request: RunRequest | None
    requested_by: str | None
    created_at: AwareDatetime
    state: State
    desired: Desired
    attempt: int
    claimable: bool
    claimed_by: str | None
    lease_over: bool
    """Whoever claimed it has not said for too long that he still has it."""
    claimant_url: str | None
    """Where whoever claimed it last shows what it does, for example a Dagster run; also after it has ended."""
    lease_expires_at: AwareDatetime | None
    allowed: list[Command]
    refused: dict[Command, str]
    """Why each other command is not possible now."""
    reason: str | None
    engine: str | None
    clients: int | None
    round: int
    rounds_total: int | None
    model_sha256: str | None
    metrics: dict[str, float]
    """Of the latest round."""
    stand_ins: list[StandIn]
    """What of it is not real, so that its scores say nothing of medicine; empty before it has described itself."""
    history: HistoryView
    activity: str | None
    """What it is at: a stage of its preparation, a task of its sites, or its own work; `null` where it has ended."""
    waiting_for: str | None
    """Who or what it does not go on without, in words; `null` where it goes on."""
    stalled: bool
    """Nothing but heartbeats has come for longer than `patience_seconds`; never while it is paused."""
    patience_seconds: float
    """60, or three times the longest pause so far in what it is at."""
    progress_at: AwareDatetime | None
    """When the latest event came that is more than a heartbeat, on the monitor's clock."""
    last_seq: int
    last_event_at: AwareDatetime | None
    silent_seconds: float | None
    """Since the latest event, on the monitor's clock."""


class RunPage(Shape):
    runs: list[RunView]
    next_cursor: str | None
    counts: dict[State, int]
    """Of all runs that are looked for, whatever their state, by state."""


class NodeView(Shape):
    node_id: str
    role: str
    status: str
    condition: Condition
    latest_event: str
    round: int
    attempt: int
    last_seen_at: AwareDatetime | None
    silent_seconds: float | None
    reason: str | None


class RoundView(Shape):
    round: int
    attempt: int
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    participants: list[int]
    metrics: dict[str, float]
    model_sha256: str | None


class MissingEvents(Shape):
    """An emitter that has counted further than its events have come."""

    emitter_id: str
    received: int
    highest: int


class Snapshot(Shape):
    """A run in one consistent view; the events after `cursor` continue it."""

    cursor: int
    taken_at: AwareDatetime
    run: RunView
    nodes: list[NodeView]
    rounds: list[RoundView]
    missing: list[MissingEvents]


class Words(Shape):
    """What people are shown in place of names: the same everywhere."""

    sentences: dict[str, Sentence]
    """By type of event; see `Sentence`."""
    tasks: dict[str, str]
    """What a node is asked to do, after "to"."""
    stages: dict[str, str]
    states: dict[State, str]
    conditions: dict[Condition, str]
    activities: dict[str, str]


class Timeline(Shape):
    """Events as columns, one place an event; a name stands for itself once, and by its number everywhere else.

    Heartbeats are left out. What no column says is in `rest`, by place: the fields of the type that have a value.
    """

    run_id: str
    last_seq: int
    next_after: int | None
    """`after` of the next part; `null` where nothing more is there now."""
    types: list[str]
    nodes: list[str]
    roles: list[str]
    statuses: list[str]
    tasks: list[str]
    seq: list[int]
    received_ms: list[int]
    """Milliseconds since 1970 on the monitor's clock."""
    ts_ms: list[int]
    """Milliseconds since 1970 on the emitter's clock: that of the run's server orders things, a site's does not."""
    type: list[int]
    node: list[int]
    role: list[int]
    status: list[int]
    task: list[int | None]
    round: list[int]
    attempt: list[int]
    latency_ms: list[float | None]
    payload_bytes: list[int | None]
    deeds: list[int]
    """Places of what this monitor did."""
    metric_names: list[str]
    metric_place: list[int]
    """One place a metric, of all events: that of its event, its name's number, its value."""
    metric_name: list[int]
    metric_value: list[float]
    rest: dict[int, dict[str, Any]]


class SiteSeries(Shape):
    node_id: str
    round: list[int]
    columns: dict[str, list[float | None]]


class Series(Shape):
    """What changes from round to round: an array a field, one place a round; `null` where it is not there."""

    round: list[int]
    columns: dict[str, list[float | None]]
    """Metrics of the global model, `seconds`, `payload_bytes`, `started_ms` on the server's clock, `attempt`."""
    sites: list[SiteSeries]
    """Each with `train_seconds`, `local_…` of its own model, metrics of the global model there, what was sent."""


class CommandRequest(Shape):
    command: Command
    given_by: Person
    command_id: Identifier | None = None
    """Idempotency key; the header `Idempotency-Key` does as well."""


class CommandView(Shape):
    command_id: str
    run_id: str
    command: Command
    given_by: str
    attempt: int
    requested_at: AwareDatetime
    acknowledged_at: AwareDatetime | None
    effective_at: AwareDatetime | None
    effective_round: int | None
    outcome: str | None
    seconds_to_effect: float | None


class NodePage(Shape):
    nodes: list[NodeView]
    next_cursor: str | None


class RoundPage(Shape):
    rounds: list[RoundView]
    next_cursor: str | None


class CommandPage(Shape):
    """The latest first."""

    commands: list[CommandView]
    next_cursor: str | None


class StartRequest(Shape):
    run_id: Identifier
    request: RunRequest


class ClaimRequest(Shape):
    claimant: Person
    url: Link | None = None
    """Where the claimant shows what it does, for people."""


class LeaseView(Shape):
    lease_id: str
    run_id: str
    attempt: int
    request: RunRequest | None
    expires_at: AwareDatetime
    desired: Desired


class DesiredView(Shape):
    desired: Desired
    attempt: int
    """The attempt that counts; a process of an earlier one is to end."""
