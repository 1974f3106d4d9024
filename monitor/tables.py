"""The tables of the monitor's database; `migrations/` makes them and changes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Dialect, Index, String, UniqueConstraint
from sqlalchemy.types import TypeDecorator
from sqlmodel import Column, Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """A moment as ISO 8601 text in UTC, whose order is that of time."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def _moment(*, nullable: bool = True) -> Any:
    return Field(sa_column=Column(UtcDateTime, nullable=nullable))


def _json(empty: Callable[[], Any]) -> Any:
    return Field(default_factory=empty, sa_column=Column(JSON, nullable=False, server_default=json.dumps(empty())))


class RunRow(SQLModel, table=True):
    """A run: what was asked for, where it is, and who has it."""

    __tablename__ = "run"

    run_id: str = Field(primary_key=True)
    phase: str | None = Field(default=None, index=True)
    request: str | None = None
    """`RunRequest` as JSON."""
    asked_here: bool = False
    """Whether the request was made to this monitor, whole; a run that was started by hand has options of its own."""
    requested_by: str | None = None
    created_at: datetime = _moment(nullable=False)
    state: str = Field(index=True)
    attempt: int
    claimable: bool
    before_lost: str | None = None
    closing: str | None = None
    """What is wanted of what a completed run still makes."""
    reason: str | None = None
    """Why it failed or was stopped."""
    engine: str | None = None
    rounds_total: int | None = None
    clients: int | None = None
    round: int = 0
    model_sha256: str | None = None
    last_seq: int = 0
    last_event_at: datetime | None = _moment()
    """When the latest event was received."""
    activity: str | None = None
    """What it is at, see `monitor.activity`."""
    progress_at: datetime | None = _moment()
    """When the latest event was received that is more than a heartbeat."""
    longest_gaps: dict[str, float] = _json(dict)
    """Seconds without progress, at the most, by activity."""
    metrics: dict[str, float] = _json(dict)
    """Of the latest round."""
    stand_ins: list[str] = _json(list)
    """Of its description, see `monitor.schema.StandIn`."""
    history: dict[str, Any] = _json(dict)
    """`monitor.reducer.History`."""
    lease_id: str | None = None
    leased_by: str | None = None
    claimant_url: str | None = None
    """Where whoever claimed it last shows what it does; also after the lease."""
    lease_expires_at: datetime | None = _moment()
    lease_over: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    """It was not renewed in time; whoever has it still may."""


class EventRow(SQLModel, table=True):
    """An event as it was received; `seq` counts 1, 2, 3 … within its run."""

    __tablename__ = "event"
    __table_args__ = (Index("event_by_type", "run_id", "type", "seq"), UniqueConstraint("event_id"))

    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    event_id: str
    type: str
    round: int
    node_id: str
    received_at: datetime = _moment(nullable=False)
    deed: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    """Of this monitor, so that it moves the run; one that was imported is history."""
    body: str
    """The event as its emitter sent it, as JSON."""


class EmitterRow(SQLModel, table=True):
    """A process that emits events of a run: what it has sent against how far it has counted."""

    __tablename__ = "emitter"

    run_id: str = Field(primary_key=True)
    emitter_id: str = Field(primary_key=True)
    received: int
    """Number of its events that are here."""
    highest: int
    """The highest `emitter_seq` of them."""


class NodeRow(SQLModel, table=True):
    """A node of a run, as its latest event leaves it."""

    __tablename__ = "node"

    run_id: str = Field(primary_key=True)
    node_id: str = Field(primary_key=True)
    role: str
    status: str
    type: str
    round: int
    attempt: int
    last_seen_at: datetime | None = _moment()
    """When it was last heard of, on the monitor's clock: not when something was only sent to it."""
    reason: str | None = None
    """Of its latest error, until it is heard of again."""


class IdentityRow(SQLModel, table=True):
    """The one row that names this database, and that is written to see whether it can be."""

    __tablename__ = "identity"

    database: str = Field(primary_key=True)
    """Random: no two databases have the same, except copies of one."""
    tried_at: datetime | None = _moment()
    ballast: bytes = b""
    """As much as was to be written for the trial."""


class CommandRow(SQLModel, table=True):
    """A command: who gave it, when, and when it came to pass."""

    __tablename__ = "command"

    command_id: str = Field(primary_key=True)
    """The idempotency key."""
    run_id: str = Field(index=True)
    command: str
    given_by: str
    attempt: int
    requested_at: datetime = _moment(nullable=False)
    acknowledged_at: datetime | None = _moment()
    """When the run asked and was told."""
    effective_at: datetime | None = _moment()
    """When its event said so."""
    effective_round: int | None = None
    outcome: str | None = None
    """`effective`, or why it never will be: `superseded`, or the state in which the run ended."""


class SiteRow(SQLModel, table=True):
    """A site of a federation, as whoever keeps that has told last."""

    __tablename__ = "site"

    federation: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    """In the order in which they were told."""
    told_at: datetime = _moment(nullable=False)
    body: str
    """`monitor.sites.SiteStatus` as JSON."""


class PhaseRow(SQLModel, table=True):
    """A phase, as whoever keeps the phases has told last."""

    __tablename__ = "phase"

    phase: str = Field(primary_key=True)
    told_at: datetime = _moment(nullable=False)
    body: str
    """`monitor.phases.PhaseReport` as JSON."""


class ReportRow(SQLModel, table=True):
    """A page about a run or an audit that was sent here."""

    __tablename__ = "report"

    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    sha256: str
    received_at: datetime = _moment(nullable=False)
    body: bytes
