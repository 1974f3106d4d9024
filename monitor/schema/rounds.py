"""What happens in a round, at the server and at the sites."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.schema.base import LARGEST, EventBase, Reason, Sha256, Task


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
    model_sha256: Sha256


class RoundCompleted(EventBase):
    type: Literal["round_completed"] = "round_completed"
    status: Literal["completed"] = "completed"
