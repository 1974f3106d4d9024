"""From the events of a run to what is known of it: the one place where an event changes anything.

What comes in is reduced before it is kept, and what was kept gives the same when it is reduced again, up to any `seq`.
Nothing here reads a clock or a database: a moment is that at which an event was received.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor.activity import activity_after
from monitor.control import Command, Control, State, claimed, commanded, notice_of, noticed
from monitor.schema import (
    CheckpointSaved,
    ClientUpdateUploaded,
    CommandAcknowledged,
    CommandGiven,
    CommandSettled,
    Deed,
    EventBase,
    LeaseEnded,
    NodeError,
    NodeHeartbeat,
    RoundCompleted,
    RoundStarted,
    RunBack,
    RunClaimed,
    RunCompleted,
    RunDescribed,
    RunFailed,
    RunLost,
    RunRequested,
    RunResumed,
    RunStarted,
    RunStopped,
    SiteSeen,
    StandIn,
)

MONITOR = "monitor"
"""The node of a monitor's own deeds."""
OF_ROUNDS = ("round_started", "aggregation_completed", "checkpoint_saved", "round_completed")
"""What is read of rounds."""
_HISTORY_LENGTH = 40
_HISTORY_METRIC = "accuracy"


@dataclass(slots=True)
class History:
    """The course of a run's accuracy in few points: of round 1, 1 + `every`, 1 + 2 `every` …"""

    every: int = 1
    values: list[float] = field(default_factory=list)

    def with_round(self, number: int, value: float) -> History:
        """With that of a round; half as dense where it would be too long."""
        place, rest = divmod(number - 1, self.every)
        if rest or place > len(self.values):
            return self
        longer = History(self.every, [*self.values[:place], value, *self.values[place + 1 :]])
        if len(longer.values) <= _HISTORY_LENGTH:
            return longer
        return History(2 * self.every, longer.values[::2])


@dataclass(slots=True)
class RunFacts:
    """A run, as its events have left it."""

    run_id: str
    created_at: datetime
    control: Control = field(default_factory=Control)
    phase: str | None = None
    request: str | None = None
    """`RunRequest` as JSON."""
    requested_by: str | None = None
    asked_here: bool = False
    reason: str | None = None
    engine: str | None = None
    rounds_total: int | None = None
    clients: int | None = None
    round: int = 0
    model_sha256: str | None = None
    last_seq: int = 0
    last_event_at: datetime | None = None
    claimed_by: str | None = None
    claimant_url: str | None = None
    lease_over: bool = False
    """Whoever claimed it has not said for too long that he still has it."""
    activity: str | None = None
    """What it is at, see `monitor.activity`."""
    progress_at: datetime | None = None
    """When the latest event came that is more than a heartbeat."""
    longest_gaps: dict[str, float] = field(default_factory=dict)
    """Seconds without progress, at the most, by activity."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the latest round."""
    stand_ins: list[StandIn] = field(default_factory=list)
    history: History = field(default_factory=History)


@dataclass(slots=True)
class NodeFacts:
    """A node of a run, as its latest event leaves it."""

    node_id: str
    role: str = ""
    status: str = ""
    type: str = ""
    round: int = 0
    attempt: int = 1
    last_seen_at: datetime | None = None
    reason: str | None = None


@dataclass(slots=True)
class RoundFacts:
    """A round; of one that was done again, the last time."""

    round: int
    attempt: int
    started_at: datetime | None = None
    completed_at: datetime | None = None
    participants: list[int] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    model_sha256: str | None = None


@dataclass(slots=True)
class CommandFacts:
    """A command and what became of it."""

    command_id: str
    command: Command
    given_by: str
    attempt: int
    requested_at: datetime
    acknowledged_at: datetime | None = None
    effective_at: datetime | None = None
    effective_round: int | None = None
    outcome: str | None = None


def reduce_run(run: RunFacts, event: EventBase, at: datetime, *, deed: bool) -> None:
    """What an event changes of its run.

    Args:
        at: when it was received.
        deed: this monitor did it, see `monitor.schema.deeds`; an imported deed is history, and changes nothing.
    """
    run.last_seq += 1
    if deed:
        _reduce_deed(run, event)
        return
    if isinstance(event, Deed):
        return
    run.last_event_at = at
    after = noticed(run.control, notice_of(event), event.attempt)
    if event.attempt == after.attempt:
        _note_facts(run, event)
        if not isinstance(event, NodeHeartbeat):
            _note_progress(run, event, at)
    run.control = after


def reduce_node(node: NodeFacts, event: EventBase, at: datetime) -> None:
    """What an event changes of the node that it is about; a monitor is no node of a run."""
    node.role, node.status, node.type = event.role, event.status, event.type  # type: ignore[attr-defined]
    node.round, node.attempt = event.round, event.attempt
    if isinstance(event, SiteSeen):
        node.status = event.at if event.status == "online" else event.status
    of_server = event.node_id == "server"
    if (event.role == "server") == of_server or isinstance(event, ClientUpdateUploaded):
        node.last_seen_at = at  # not when something was only sent to it
    node.reason = event.reason if isinstance(event, NodeError) else None


def reduce_rounds(rounds: dict[int, RoundFacts], event: EventBase) -> None:
    """What an event changes of the rounds, by number."""
    if event.round == 0 or getattr(event, "type", "") not in OF_ROUNDS:  # what comes before the first is none
        return
    known = rounds.get(event.round)
    if known is None or event.attempt > known.attempt:
        known = rounds[event.round] = RoundFacts(event.round, event.attempt)
    match event:
        case RoundStarted():
            known.started_at, known.participants = event.ts, event.participants
        case RoundCompleted():
            known.completed_at = event.ts
        case CheckpointSaved():
            known.model_sha256 = event.model_sha256
        case _:
            pass
    known.metrics.update(event.metrics)


def reduce_commands(commands: dict[str, CommandFacts], event: EventBase, at: datetime) -> None:
    """What a deed of this monitor changes of the commands, by id."""
    match event:
        case CommandGiven():
            commands[event.command_id] = CommandFacts(
                event.command_id, Command(event.command), event.given_by, event.attempt, at
            )
        case CommandAcknowledged() if (command := commands.get(event.command_id)) is not None:
            command.acknowledged_at = at
        case CommandSettled() if (command := commands.get(event.command_id)) is not None:
            command.outcome = event.status
            if event.status == "effective":
                command.effective_at, command.effective_round = at, event.effective_round
        case _:
            pass


@dataclass
class Folded:
    """Everything that the events of a run say, up to one of them."""

    run: RunFacts
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    rounds: dict[int, RoundFacts] = field(default_factory=dict)
    commands: dict[str, CommandFacts] = field(default_factory=dict)

    def take(self, event: EventBase, at: datetime, *, deed: bool) -> None:
        """Take in the next event."""
        reduce_run(self.run, event, at, deed=deed)
        if deed:
            reduce_commands(self.commands, event, at)
        if event.node_id != MONITOR:
            reduce_node(self.nodes.setdefault(event.node_id, NodeFacts(event.node_id)), event, at)
        reduce_rounds(self.rounds, event)


def fold(events: Iterable[tuple[EventBase, datetime, bool]]) -> Folded | None:
    """What the first events of a run say, each with the moment of its receipt and whether it is a deed of this monitor.

    `None` of no event.
    """
    folded = None
    for event, at, deed in events:
        if folded is None:
            folded = Folded(RunFacts(event.run_id, at))
        folded.take(event, at, deed=deed)
    return folded


def _reduce_deed(run: RunFacts, event: EventBase) -> None:
    control = run.control
    match event:
        case RunRequested():
            _note_facts(run, event)
            run.control, run.asked_here = Control(control.state, control.attempt, claimable=True), True
        case CommandGiven():
            run.control = commanded(control, Command(event.command)) or control
        case RunClaimed():
            run.control = claimed(control) or control
            run.claimed_by, run.claimant_url = event.claimed_by, event.url or run.claimant_url
            run.lease_over = False
        case LeaseEnded():
            run.lease_over = True
            run.claimed_by = run.claimed_by if event.status == "expired" else None
        case RunLost() if control.state is State.COMPLETED:
            run.control = replace(control, closing=None)
        case RunLost():
            run.control = Control(State.LOST, control.attempt, event.claimable, before_lost=control.state)
        case RunBack() if control.state is State.LOST:
            run.control = Control(control.before_lost or State.RUNNING, control.attempt)
        case _:
            pass


def _note_facts(run: RunFacts, event: EventBase) -> None:
    run.round = event.round if event.attempt > run.control.attempt else max(run.round, event.round)
    match event:
        case RunRequested() if run.request is None:  # later ones are of the process that carries it out
            run.phase = event.request.phase
            run.request = event.request.model_dump_json()
            run.requested_by = event.request.requested_by
        case RunStarted():
            run.engine, run.rounds_total, run.clients = event.engine, event.rounds_total, event.clients
            run.reason = None
        case RunDescribed():
            run.stand_ins = event.stand_ins
        case RunCompleted():
            run.model_sha256 = event.model_sha256
        case RunFailed() | RunStopped():
            run.reason = event.reason
        case RoundCompleted():
            run.metrics = event.metrics
            if (value := event.metrics.get(_HISTORY_METRIC)) is not None:
                run.history = run.history.with_round(event.round, value)
        case _:
            pass


def _note_progress(run: RunFacts, event: EventBase, at: datetime) -> None:
    begins_anew = isinstance(event, RunResumed)  # nobody waited for it with patience
    if run.progress_at is not None and run.activity is not None and not begins_anew:
        gap = (at - run.progress_at).total_seconds()
        if gap > run.longest_gaps.get(run.activity, 0.0):
            run.longest_gaps = run.longest_gaps | {run.activity: gap}
    run.progress_at = at
    run.activity = activity_after(event, run.activity)
