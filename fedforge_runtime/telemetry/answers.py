"""What the monitor's answers have for those who ask it; whatever else they have is theirs."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from fedforge_runtime.telemetry.control import Desired


class Wanted(TypedDict):
    """What a run is to do."""

    desired: Desired


class Outcome(TypedDict):
    """What became of one event of a batch."""

    outcome: Literal["accepted", "duplicate", "refused"]
    error: str | None


class Position(TypedDict):
    """How far the events of an emitter have come."""

    run_id: str
    emitter_id: str
    emitter_seq: int


class Held(TypedDict):
    """What a monitor's database holds, and which database that is."""

    database: str
    positions: list[Position]


class Outcomes(TypedDict):
    """In the order of the batch, and what is held now; no outcome where that is less than was expected."""

    results: list[Outcome]
    held: Held


class Run(TypedDict):
    """A run as the monitor has it."""

    run_id: str
    state: str
    attempt: int
    claimable: bool
    claimed_by: str | None
    request: dict[str, Any] | None
    reason: str | None
    round: int
    last_seq: int


class Node(TypedDict):
    """A node of a run, as its latest event leaves it."""

    node_id: str
    attempt: int


class Snapshot(TypedDict):
    """A run with its nodes, as of one event."""

    run: Run
    nodes: list[Node]


class Runs(TypedDict):
    """Several of them."""

    runs: list[Run]


class Lease(TypedDict):
    """A run that was given to whoever asked."""

    lease_id: str
    run_id: str
    attempt: int
    request: dict[str, Any] | None
    desired: Desired


class ShownEvent(TypedDict):
    """What people are shown of an event."""

    ts: str
    type: str
    round: int
    node_id: str
    latency_ms: float | None
    metrics: dict[str, float]


class RecordedEvent(TypedDict):
    """An event with its place in its run."""

    seq: int
    event: ShownEvent


class EventPage(TypedDict):
    """Events after a cursor."""

    events: list[RecordedEvent]
    next_after: int | None


class Told(TypedDict):
    """That something was taken in."""

    taken_at: str


class PhaseTold(TypedDict):
    """That what was said of a phase was taken in."""

    phase: str


class Given(TypedDict):
    """A command as it was taken."""

    command_id: str


class Offered(TypedDict):
    """An offer that holds."""

    claimant: str


class Check(TypedDict):
    """A question about a request."""

    check_id: str
    request: dict[str, Any]


class NextCheck(TypedDict):
    """What is asked of a claimant, if anything is."""

    check: Check | None


class Answered(TypedDict):
    """What became of the answer to a check."""

    waited_for: bool
