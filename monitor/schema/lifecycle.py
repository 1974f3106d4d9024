"""The life of a run: asked for, begun, paused, ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.schema.base import LARGEST, EventBase, Identifier, Number, Reason, Sha256
from monitor.schema.request import RunRequest


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


Stage = Literal[
    "download", "dataset", "audit", "partition", "backbone", "features", "shards", "results", "bounds", "report"
]


class StageProgress(EventBase):
    """How far a stage before or after the federated part is; at most one every two seconds, and one at its end."""

    type: Literal["stage_progress"] = "stage_progress"
    status: Literal["running", "completed", "given_up"] = "running"
    stage: Stage
    done: int = Field(default=0, ge=0, le=LARGEST)
    total: int | None = Field(default=None, ge=0, le=LARGEST)
    """`null` where nobody knows yet."""
    unit: str = Field(default="", max_length=40)
    """What is counted, in the plural."""
    seconds_left: Number | None = Field(default=None, ge=0)


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
    model_sha256: Sha256


class RunFailed(EventBase):
    type: Literal["run_failed"] = "run_failed"
    status: Literal["failed"] = "failed"
    reason: Reason
