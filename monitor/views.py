"""What is read from the database, in the shapes of the API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import tuple_
from sqlmodel import Session, col, select

from monitor.activity import condition_of, patience_seconds
from monitor.control import HEARD, Command, State, commanded, desired, refusal, stalls
from monitor.cursors import make_cursor, moment_of, number_of, read_cursor
from monitor.reducer import OF_ROUNDS, CommandFacts, NodeFacts, RoundFacts, RunFacts, reduce_rounds
from monitor.rows import command_facts, control_of, node_facts, run_facts
from monitor.schema import RunRequest, event_adapter
from monitor.shapes import (
    CommandPage,
    CommandView,
    HistoryView,
    LeaseView,
    MissingEvents,
    NodePage,
    NodeView,
    RoundPage,
    RoundView,
    RunView,
    Snapshot,
)
from monitor.tables import CommandRow, EmitterRow, EventRow, NodeRow, RunRow

_ALL = 10_000
"""Nodes and rounds that a snapshot shows at the most."""


def run_view(row: RunRow, now: datetime) -> RunView:
    """A run, and what can be done with it now."""
    return view_of_run(run_facts(row), now, row.lease_expires_at)


def view_of_run(run: RunFacts, now: datetime, lease_expires_at: datetime | None = None) -> RunView:
    """What the events of a run say of it."""
    control = run.control
    patience = patience_seconds(run.activity, run.longest_gaps)
    return RunView(
        run_id=run.run_id,
        phase=run.phase,
        request=_request(run.request),
        requested_by=run.requested_by,
        created_at=run.created_at,
        state=control.state,
        desired=desired(control, control.attempt),
        attempt=control.attempt,
        claimable=control.claimable,
        claimed_by=run.claimed_by,
        lease_over=run.lease_over,
        claimant_url=run.claimant_url,
        lease_expires_at=lease_expires_at,
        allowed=control.allowed,
        refused={each: refusal(control, each) for each in Command if commanded(control, each) is None},
        reason=run.reason,
        engine=run.engine,
        clients=run.clients,
        round=run.round,
        rounds_total=run.rounds_total,
        model_sha256=run.model_sha256,
        metrics=run.metrics,
        stand_ins=run.stand_ins,
        history=HistoryView(every=run.history.every, values=run.history.values),
        activity=run.activity,
        waiting_for=_awaited(run),
        stalled=stalls(control) and (_age(run.progress_at, now) or 0.0) > patience,
        patience_seconds=patience,
        progress_at=run.progress_at,
        last_seq=run.last_seq,
        last_event_at=run.last_event_at,
        silent_seconds=_age(run.last_event_at, now),
    )


def _awaited(run: RunFacts) -> str | None:
    if run.control.claimable:
        return "somebody who starts it: fedforge agent, or fedforge up"
    if run.control.state is State.PAUSED:
        return "somebody who has it go on"
    if run.control.state in HEARD and run.activity == "connection":
        return "its sites to connect"
    return None


def lease_view(run: RunRow) -> LeaseView:
    """That a claimant has a run."""
    assert run.lease_id is not None
    assert run.lease_expires_at is not None
    return LeaseView(
        lease_id=run.lease_id,
        run_id=run.run_id,
        attempt=run.attempt,
        request=_request(run.request) if run.asked_here else None,
        expires_at=run.lease_expires_at,
        desired=desired(control_of(run), run.attempt),
    )


def command_view(row: CommandRow) -> CommandView:
    """A command, and what became of it."""
    return view_of_command(row.run_id, command_facts(row))


def view_of_command(run_id: str, command: CommandFacts) -> CommandView:
    """What the events of a run say of a command."""
    return CommandView(
        run_id=run_id,
        seconds_to_effect=_age(command.requested_at, command.effective_at) if command.effective_at else None,
        **asdict(command),
    )


def node_page(session: Session, run: RunRow, now: datetime, *, cursor: str | None = None, limit: int) -> NodePage:
    """The nodes of a run by name."""
    query = select(NodeRow).where(NodeRow.run_id == run.run_id).order_by(col(NodeRow.node_id))
    if cursor is not None:
        query = query.where(col(NodeRow.node_id) > read_cursor(cursor, 1)[0])
    rows, following = _page(session, query, limit, lambda row: [row.node_id])
    return NodePage(nodes=[view_of_node(node_facts(row), now) for row in rows], next_cursor=following)


def command_page(session: Session, run: RunRow, *, cursor: str | None = None, limit: int) -> CommandPage:
    """The commands of a run, the latest first."""
    query = (
        select(CommandRow)
        .where(CommandRow.run_id == run.run_id)
        .order_by(col(CommandRow.requested_at).desc(), col(CommandRow.command_id).desc())
    )
    if cursor is not None:
        moment, command_id = read_cursor(cursor, 2)
        query = query.where(
            tuple_(col(CommandRow.requested_at), col(CommandRow.command_id)) < (moment_of(moment), command_id)
        )
    rows, following = _page(session, query, limit, lambda row: [row.requested_at.isoformat(), row.command_id])
    return CommandPage(commands=[command_view(row) for row in rows], next_cursor=following)


def round_page(session: Session, run: RunRow, *, cursor: str | None = None, limit: int) -> RoundPage:
    """The rounds of a run in their order; of a round that was done again, the last time."""
    first = number_of(cursor) + 1 if cursor is not None else 1
    query = (
        select(EventRow)
        .where(
            EventRow.run_id == run.run_id,
            col(EventRow.type).in_(OF_ROUNDS),
            col(EventRow.round) >= first,
            col(EventRow.round) < first + limit,
        )
        .order_by(col(EventRow.seq))
    )
    rounds: dict[int, RoundFacts] = {}
    for row in session.exec(query):
        reduce_rounds(rounds, event_adapter.validate_json(row.body))
    found = [view_of_round(rounds[number]) for number in sorted(rounds)]
    more = run.round >= first + limit
    return RoundPage(rounds=found, next_cursor=make_cursor([str(first + limit - 1)]) if more else None)


def snapshot(session: Session, run: RunRow, now: datetime) -> Snapshot:
    """A run, its nodes, rounds and gaps, all as of one event."""
    emitters = session.exec(select(EmitterRow).where(EmitterRow.run_id == run.run_id)).all()
    return Snapshot(
        cursor=run.last_seq,
        taken_at=now,
        run=run_view(run, now),
        nodes=node_page(session, run, now, limit=_ALL).nodes,
        rounds=round_page(session, run, limit=_ALL).rounds,
        missing=[
            MissingEvents(emitter_id=each.emitter_id, received=each.received, highest=each.highest)
            for each in emitters
            if each.received < each.highest
        ],
    )


def view_of_round(found: RoundFacts) -> RoundView:
    """What the events of a run say of a round."""
    return RoundView(**asdict(found))


def view_of_node(node: NodeFacts, now: datetime) -> NodeView:
    """What the events of a run say of a node."""
    silent = _age(node.last_seen_at, now)
    return NodeView(
        node_id=node.node_id,
        role=node.role,
        status=node.status,
        condition=condition_of(node.type, node.status, silent),
        latest_event=node.type,
        round=node.round,
        attempt=node.attempt,
        last_seen_at=node.last_seen_at,
        silent_seconds=silent,
        reason=node.reason,
    )


def _request(text: str | None) -> RunRequest | None:
    return None if text is None else RunRequest.model_validate_json(text)


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())


def _page(session: Session, query: Any, limit: int, position: Any) -> tuple[list[Any], str | None]:
    rows = list(session.exec(query.limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], make_cursor(position(rows[limit - 1]))
