"""Finds events of one run: after or before a cursor, by type, node, round and text. It reads the run's own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from monitor.stored import StoredEvent
from monitor.tables import EventRow


@dataclass(frozen=True)
class Search:
    """What is looked for; of each list any, and everything where it is empty.

    Args:
        text: a part of the event as JSON, whatever its case (of ASCII letters).
    """

    types: Sequence[str] = ()
    nodes: Sequence[str] = ()
    rounds: Sequence[int] = ()
    text: str = ""


EVERYTHING = Search()


def events_after(session: Session, run_id: str, seq: int, limit: int, search: Search = EVERYTHING) -> list[StoredEvent]:
    """The first `limit` events after `seq` that are looked for, the oldest first."""
    query = _found(run_id, search).where(col(EventRow.seq) > seq).order_by(col(EventRow.seq)).limit(limit)
    return [_stored(row) for row in session.exec(query)]


def events_before(
    session: Session, run_id: str, seq: int | None, limit: int, search: Search = EVERYTHING
) -> list[StoredEvent]:
    """The last `limit` events before `seq`, or of all, that are looked for, the newest first."""
    query = _found(run_id, search).order_by(col(EventRow.seq).desc()).limit(limit)
    if seq is not None:
        query = query.where(col(EventRow.seq) < seq)
    return [_stored(row) for row in session.exec(query)]


def _found(run_id: str, search: Search) -> SelectOfScalar[EventRow]:
    query = select(EventRow).where(EventRow.run_id == run_id)
    if search.types:
        query = query.where(col(EventRow.type).in_(search.types))
    if search.nodes:
        query = query.where(col(EventRow.node_id).in_(search.nodes))
    if search.rounds:
        query = query.where(col(EventRow.round).in_(search.rounds))
    if search.text:
        query = query.where(col(EventRow.body).icontains(search.text, autoescape=True))
    return query


def _stored(row: EventRow) -> StoredEvent:
    return StoredEvent(row.run_id, row.seq, row.received_at, row.deed, row.body)
