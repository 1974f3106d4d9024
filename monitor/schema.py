"""The events of a run and the request for one: pure pydantic, imported by every emitter and reader.

An event is one fact about one run. `event_id` makes its delivery idempotent; `emitter_id` and `emitter_seq`
make a loss visible (each emitting process counts 1, 2, 3 …); the monitor adds `seq` and `received_at`.
With each acknowledgement it says what it holds, so that a sender notices when that is less than it was told before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

SCHEMA_VERSION: Literal[1] = 1

Task = Literal["statistics", "train", "evaluate"]
Role = Literal["server", "client"]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Reason = Annotated[str, Field(min_length=1, max_length=2000)]
LARGEST = 2**53 - 1
"""The largest whole number that every reader keeps exactly, JavaScript included."""


class _Contract(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True, allow_inf_nan=False
    )


class EventBase(_Contract):
    """The fields of every event."""

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: UUID
    emitter_id: Identifier
    """The emitting process; `emitter_seq` counts within it."""
    emitter_seq: int = Field(ge=1, le=LARGEST)
    ts: AwareDatetime
    """When it happened, on the emitter's clock, UTC."""
    run_id: Identifier
    attempt: int = Field(default=1, ge=1, le=LARGEST)
    """1 for the first start of a run, one more for each resume."""
    round: int = Field(ge=0, le=LARGEST)
    """0 before the first round."""
    node_id: Identifier
    """`server`, `monitor` or `client-<partition id>`: the node that the event is about."""
    role: Role
    """Who emitted it."""
    latency_ms: float | None = Field(default=None, ge=0)
    payload_bytes: int | None = Field(default=None, ge=0, le=LARGEST)
    metrics: dict[str, float] = Field(default_factory=dict)


class RunRequested(EventBase):
    type: Literal["run_requested"] = "run_requested"
    status: Literal["requested"] = "requested"
    request: RunRequest


class RunStarted(EventBase):
    type: Literal["run_started"] = "run_started"
    status: Literal["running"] = "running"
    engine: str
    rounds_total: int = Field(ge=1, le=LARGEST)
    clients: int = Field(ge=1, le=LARGEST)


class SitesAwaited(EventBase):
    """Too few sites are connected to go on; said again every few seconds while that lasts."""

    type: Literal["sites_awaited"] = "sites_awaited"
    status: Literal["waiting"] = "waiting"
    connected: int = Field(ge=0, le=LARGEST)
    missing: int = Field(ge=1, le=LARGEST)
    missing_nodes: list[Identifier] = Field(max_length=100)
    """The first of them."""


class RunPaused(EventBase):
    type: Literal["run_paused"] = "run_paused"
    status: Literal["paused"] = "paused"


class RunResumed(EventBase):
    type: Literal["run_resumed"] = "run_resumed"
    status: Literal["running"] = "running"


class RunStopped(EventBase):
    type: Literal["run_stopped"] = "run_stopped"
    status: Literal["stopped"] = "stopped"
    reason: Reason


class RunCompleted(EventBase):
    type: Literal["run_completed"] = "run_completed"
    status: Literal["completed"] = "completed"
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RunFailed(EventBase):
    type: Literal["run_failed"] = "run_failed"
    status: Literal["failed"] = "failed"
    reason: Reason


class NodeHeartbeat(EventBase):
    type: Literal["node_heartbeat"] = "node_heartbeat"
    status: Literal["idle", "busy"] = "idle"


class NodeError(EventBase):
    type: Literal["node_error"] = "node_error"
    status: Literal["failed"] = "failed"
    task: Task | None = None
    reason: Reason


class RoundStarted(EventBase):
    type: Literal["round_started"] = "round_started"
    status: Literal["running"] = "running"
    participants: list[int]
    """Partition ids of the clients chosen for the round, ascending."""


class ModelDispatched(EventBase):
    type: Literal["model_dispatched"] = "model_dispatched"
    status: Literal["sent"] = "sent"
    task: Task


class ClientTrainStarted(EventBase):
    type: Literal["client_train_started"] = "client_train_started"
    status: Literal["running"] = "running"


class ClientTrainCompleted(EventBase):
    type: Literal["client_train_completed"] = "client_train_completed"
    status: Literal["completed"] = "completed"


class ClientUpdateArriving(EventBase):
    """A part of a client's answer is here: `payload_bytes` so far. Said every few seconds of one that takes long."""

    type: Literal["client_update_arriving"] = "client_update_arriving"
    status: Literal["running"] = "running"
    task: Task
    parts: int = Field(ge=0, le=LARGEST)
    parts_total: int = Field(ge=1, le=LARGEST)


class ClientUpdateUploaded(EventBase):
    """A client's update has reached the server; `latency_ms` is the round trip on the server's clock."""

    type: Literal["client_update_uploaded"] = "client_update_uploaded"
    status: Literal["received"] = "received"
    task: Task


class ClientEvaluated(EventBase):
    type: Literal["client_evaluated"] = "client_evaluated"
    status: Literal["completed"] = "completed"


class AggregationStarted(EventBase):
    type: Literal["aggregation_started"] = "aggregation_started"
    status: Literal["running"] = "running"


class AggregationCompleted(EventBase):
    type: Literal["aggregation_completed"] = "aggregation_completed"
    status: Literal["completed"] = "completed"


class CheckpointSaved(EventBase):
    type: Literal["checkpoint_saved"] = "checkpoint_saved"
    status: Literal["completed"] = "completed"
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RoundCompleted(EventBase):
    type: Literal["round_completed"] = "round_completed"
    status: Literal["completed"] = "completed"


Event = Annotated[
    RunRequested
    | RunStarted
    | SitesAwaited
    | RunPaused
    | RunResumed
    | RunStopped
    | RunCompleted
    | RunFailed
    | NodeHeartbeat
    | NodeError
    | RoundStarted
    | ModelDispatched
    | ClientTrainStarted
    | ClientTrainCompleted
    | ClientUpdateArriving
    | ClientUpdateUploaded
    | ClientEvaluated
    | AggregationStarted
    | AggregationCompleted
    | CheckpointSaved
    | RoundCompleted,
    Field(discriminator="type"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)


class Position(_Contract):
    """How far the events of an emitter have come."""

    run_id: Identifier
    emitter_id: Identifier
    emitter_seq: int = Field(ge=1, le=LARGEST)
    """The highest that is held."""


class Holding(_Contract):
    """What a database of a monitor holds of some emitters; one of which it says nothing has none there."""

    database: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Its identity: another one behind the same address holds nothing of what the former held."""
    positions: list[Position]

    def includes(self, other: Holding) -> bool:
        """Whether everything that `other` says is so here: the same database, and no position behind."""
        reached = {(each.run_id, each.emitter_id): each.emitter_seq for each in self.positions}
        return self.database == other.database and all(
            each.emitter_seq <= reached.get((each.run_id, each.emitter_id), 0) for each in other.positions
        )


class RunRequest(_Contract):
    """What somebody asked for: a phase, and the keys that differ from its profile."""

    phase: Literal["blood", "derma", "path"]
    profile: Literal["cpu-safe", "tuned"] = "cpu-safe"
    overrides: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Dotted configuration keys and their values, for example `{"federation.rounds": 3}`."""
    requested_by: str = Field(default="cli", max_length=200)
    requested_at: datetime | None = None


RunRequested.model_rebuild()
