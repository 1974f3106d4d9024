"""The table of runs: filtered, sorted, page by page, with how many there are in each state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, cast, tuple_
from sqlmodel import Session, col, func, or_, select

from monitor.control import State
from monitor.cursors import make_cursor, moment_of, read_cursor
from monitor.shapes import RunPage
from monitor.tables import RunRow
from monitor.views import run_view


class Order(StrEnum):
    """By what runs are sorted; those that have nothing there come as if it were empty."""

    CREATED = "created_at"
    HEARD = "last_event_at"
    NAME = "run_id"
    PHASE = "phase"
    STATE = "state"
    ENGINE = "engine"


@dataclass(frozen=True)
class Listing:
    """Which runs, and how they are sorted; of each list any, and everything where it is empty.

    Args:
        text: a part of a run's name, phase, engine or of who asked for it, in any case.
    """

    states: Sequence[State] = ()
    phases: Sequence[str] = ()
    engines: Sequence[str] = ()
    text: str = ""
    claimable: bool | None = None
    order: Order = Order.CREATED
    ascending: bool = False


def run_page(session: Session, now: datetime, listing: Listing, *, cursor: str | None, limit: int) -> RunPage:
    """Runs that are looked for, and how many there are in each state.

    Raises:
        CursorError: the cursor is not of this order.
    """
    key: ColumnElement[Any] = func.coalesce(cast(getattr(RunRow, listing.order.value), String), "")
    name = col(RunRow.run_id)
    query = select(RunRow, key).where(*_conditions(listing, of_states=True))
    query = query.order_by(*((key, name) if listing.ascending else (key.desc(), name.desc())))
    if cursor is not None:
        value, run_id = read_cursor(cursor, 2)
        if listing.order in (Order.CREATED, Order.HEARD) and value:
            moment_of(value)
        position = tuple_(value, run_id)
        query = query.where(tuple_(key, name) > position if listing.ascending else tuple_(key, name) < position)
    found = session.exec(query.limit(limit + 1)).all()
    shown = found[:limit]
    following = make_cursor([shown[-1][1], shown[-1][0].run_id]) if len(found) > limit else None
    counted = select(RunRow.state, func.count()).where(*_conditions(listing, of_states=False)).group_by(RunRow.state)
    counts = {State(state): number for state, number in session.exec(counted)}
    return RunPage(runs=[run_view(row, now) for row, _ in shown], next_cursor=following, counts=counts)


def _conditions(listing: Listing, *, of_states: bool) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if of_states and listing.states:
        conditions.append(col(RunRow.state).in_([state.value for state in listing.states]))
    if listing.phases:
        conditions.append(col(RunRow.phase).in_(list(listing.phases)))
    if listing.engines:
        conditions.append(col(RunRow.engine).in_(list(listing.engines)))
    if listing.claimable is not None:
        conditions.append(col(RunRow.claimable) == listing.claimable)
    if listing.text:
        places = (RunRow.run_id, RunRow.phase, RunRow.engine, RunRow.requested_by)
        conditions.append(or_(*(col(place).icontains(listing.text, autoescape=True) for place in places)))
    return conditions
