"""What needs somebody, each with what is to be done next: in one place, so that every screen counts alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime
from sqlmodel import Session, col, select

from monitor.activity import ACTIVITIES, Condition, condition_of
from monitor.control import ENDED, HEARD, State
from monitor.offers import OfferView, objection
from monitor.shapes import RunView, Shape
from monitor.tables import EmitterRow, NodeRow, RunRow
from monitor.views import run_view

_REMEMBERED = timedelta(days=7)
"""How long a run that failed or was lost is shown, unless somebody resumes it."""
_CLAIMED_WITHIN = timedelta(seconds=10)
_ARRIVED_WITHIN = timedelta(seconds=60)
_LITTLE_SPACE_BYTES = 500_000_000
_AT_ONCE = 200


class AttentionKind(StrEnum):
    """What needs somebody, the most pressing first."""

    DATABASE_NEARLY_FULL = "database_nearly_full"
    STALLED = "stalled"
    LOST = "lost"
    SILENT_SITE = "silent_site"
    FAILED = "failed"
    UNCLAIMED = "unclaimed"
    MISSING_EVENTS = "missing_events"


class Need(Shape):
    """Something that needs somebody."""

    kind: AttentionKind
    run_id: str | None = None
    node_id: str | None = None
    since: AwareDatetime
    what: str
    next_step: str


class Attention(Shape):
    """What needs somebody, the most pressing first."""

    taken_at: AwareDatetime
    needs: list[Need]


def attention(
    session: Session, now: datetime, *, free_bytes: int | None, offers: Sequence[OfferView] = ()
) -> Attention:
    """What needs somebody now, the most pressing first.

    Args:
        offers: those that hold: who does not take up what waits says why.
        free_bytes: on the disk of the database; `None` where that cannot be known.
    """
    recent = col(RunRow.last_event_at) > now - _REMEMBERED
    live = select(RunRow).where(col(RunRow.state).in_([state.value for state in HEARD]))
    troubled = select(RunRow).where(col(RunRow.state).in_([State.FAILED.value, State.LOST.value]), recent)
    rows = {row.run_id: row for query in (live, troubled) for row in session.exec(query.limit(_AT_ONCE))}
    needs = [need for row in rows.values() for need in _of_run(run_view(row, now), now, offers)]
    needs += _silent_sites(session, [each for each in rows.values() if State(each.state) in HEARD], now)
    needs += _missing_events(session, now)
    if free_bytes is not None and free_bytes < _LITTLE_SPACE_BYTES:
        needs.append(_nearly_full(free_bytes, now))
    order = tuple(AttentionKind)
    needs.sort(key=lambda need: (order.index(need.kind), -need.since.timestamp()))
    return Attention(taken_at=now, needs=needs)


def _of_run(run: RunView, now: datetime, offers: Sequence[OfferView]) -> Iterator[Need]:
    since = run.last_event_at or run.created_at
    match run.state:
        case State.FAILED:
            yield Need(
                kind=AttentionKind.FAILED,
                run_id=run.run_id,
                since=since,
                what=f"the run has failed: {run.reason or 'no reason is known'}",
                next_step=f"Mend the cause, then resume it from its last checkpoint: fedforge resume {run.run_id}",
            )
        case State.LOST:
            yield Need(
                kind=AttentionKind.LOST,
                run_id=run.run_id,
                since=since,
                what="nothing has been heard of the run for too long",
                next_step=(
                    "Start who carries runs out (fedforge agent, or fedforge up); it goes on from its last checkpoint."
                    if run.claimable
                    else f"See whether its process lives; if not: fedforge resume {run.run_id}"
                ),
            )
        case _ if run.claimable and now - since > _CLAIMED_WITHIN:
            reason = objection(offers, run.request, by_browser=False) if run.request and run.engine is None else None
            yield Need(
                kind=AttentionKind.UNCLAIMED,
                run_id=run.run_id,
                since=since,
                what=reason or "nobody has taken up the run",
                next_step=(
                    "Start who can carry it out, or stop it and ask for what is offered."
                    if reason
                    else "Start who carries runs out: fedforge agent, or fedforge up."
                ),
            )
        case _ if run.stalled and run.progress_at is not None:
            activity = run.activity or "preparation"
            yield Need(
                kind=AttentionKind.STALLED,
                run_id=run.run_id,
                since=run.progress_at,
                what=(
                    f"nothing but heartbeats for {(now - run.progress_at).total_seconds():.0f} s while "
                    f"{ACTIVITIES.get(activity, activity)}; {run.patience_seconds:.0f} s were to be expected at most"
                ),
                next_step="See which site does not answer, and its log; or stop the run, and resume it later.",
            )
        case _:
            pass


def _silent_sites(session: Session, live: Sequence[RunRow], now: datetime) -> Iterator[Need]:
    attempts = {run.run_id: run.attempt for run in live}
    beating = select(NodeRow).where(
        col(NodeRow.run_id).in_(attempts), NodeRow.type == "node_heartbeat", NodeRow.node_id != "server"
    )
    for node in session.exec(beating.limit(_AT_ONCE)):
        if node.last_seen_at is None or node.attempt != attempts[node.run_id]:
            continue
        if condition_of(node.type, node.status, (now - node.last_seen_at).total_seconds()) is Condition.SILENT:
            yield Need(
                kind=AttentionKind.SILENT_SITE,
                run_id=node.run_id,
                node_id=node.node_id,
                since=node.last_seen_at,
                what=f"{node.node_id} was at work, and its heartbeats have ceased",
                next_step="See whether the site's machine and its network live; the run goes on without it if it may.",
            )


def _missing_events(session: Session, now: datetime) -> Iterator[Need]:
    """Of runs of which nothing more is on its way."""
    query = (
        select(EmitterRow, RunRow)
        .join(RunRow, col(RunRow.run_id) == EmitterRow.run_id)
        .where(col(EmitterRow.received) < EmitterRow.highest, col(RunRow.last_event_at) > now - _REMEMBERED)
    )
    missing: dict[str, tuple[int, datetime]] = {}
    for emitter, run in session.exec(query.limit(_AT_ONCE)):
        quiet_since = run.last_event_at or run.created_at
        if State(run.state) in ENDED or now - quiet_since > _ARRIVED_WITHIN:
            count = missing.get(run.run_id, (0, quiet_since))[0]
            missing[run.run_id] = count + emitter.highest - emitter.received, quiet_since
    for run_id, (count, since) in missing.items():
        events = "event of the run was" if count == 1 else "events of the run were"
        yield Need(
            kind=AttentionKind.MISSING_EVENTS,
            run_id=run_id,
            since=since,
            what=f"{count} {events} counted and not delivered",
            next_step=f"On the machine that has the run's folder: fedforge events import {run_id}",
        )


def _nearly_full(free_bytes: int, now: datetime) -> Need:
    return Need(
        kind=AttentionKind.DATABASE_NEARLY_FULL,
        since=now,
        what=f"the disk of the monitor's database has {free_bytes / 1e6:.0f} MB left",
        next_step="Free some space, or forget old runs: fedforge monitor prune --older-than DAYS --compact",
    )
