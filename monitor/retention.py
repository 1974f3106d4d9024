"""Forgets runs that ended long ago. Their logs stay in the home, and can be loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, delete, func, select
from sqlmodel.sql.expression import SelectOfScalar

from monitor.control import ENDED
from monitor.database import Database
from monitor.reports import RUN
from monitor.tables import CommandRow, EmitterRow, EventRow, NodeRow, ReportRow, RunRow

_OF_A_RUN = (EventRow, EmitterRow, NodeRow, CommandRow, RunRow)


@dataclass(frozen=True)
class OldRun:
    """A run of which nothing was heard for long.

    Args:
        events: how many of its events are kept.
    """

    run_id: str
    state: str
    last_event_at: datetime
    events: int


def old_runs(database: Database, before: datetime) -> list[OldRun]:
    """The runs that have ended, or are lost, and were heard of last before a moment; the oldest first."""
    with database.reading() as session:
        runs = session.exec(_old(before)).all()
        return [OldRun(run.run_id, run.state, run.last_event_at or run.created_at, run.last_seq) for run in runs]


def forget(database: Database, runs: Sequence[OldRun], before: datetime) -> list[OldRun]:
    """Remove them, each whole or not at all; returns those that were removed: what goes on again meanwhile stays."""
    return [run for run in runs if _forget(database, run.run_id, before)]


def _forget(database: Database, run_id: str, before: datetime) -> bool:
    with database.writing() as connection:
        if connection.execute(_old(before).where(col(RunRow.run_id) == run_id)).first() is None:
            return False
        for table in _OF_A_RUN:
            connection.execute(delete(table).where(col(table.run_id) == run_id))
        connection.execute(delete(ReportRow).where(col(ReportRow.kind) == RUN, col(ReportRow.key) == run_id))
    return True


def _old(before: datetime) -> SelectOfScalar[RunRow]:
    last = func.coalesce(RunRow.last_event_at, RunRow.created_at)
    query = select(RunRow).where(col(RunRow.state).in_([state.value for state in ENDED]), last < before)
    return query.order_by(last)
