"""Takes events in: drops what is here already, numbers the rest, and lets it move the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import col, insert, select

from monitor.control import State, notice_of, noticed
from monitor.orders import control_of, overtake, set_control, settle
from monitor.schema import (
    ClientUpdateUploaded,
    Event,
    NodeError,
    RunCompleted,
    RunFailed,
    RunRequested,
    RunStarted,
    RunStopped,
)
from monitor.stored import StoredEvent
from monitor.tables import EmitterRow, EventRow, NodeRow, RunRow
from monitor.writer import Transaction

_IDS_AT_ONCE = 500
_SERVER_NODES = ("server", "monitor")
_NODE_FACTS = {"role", "status", "type", "round", "attempt"}
"""What a node's row has of its latest event."""


@dataclass(frozen=True)
class Recorded:
    """What became of one event: its place in the run, and whether it was here already."""

    event: Event
    outcome: Literal["accepted", "duplicate"]
    seq: int


def record_events(transaction: Transaction, events: Sequence[Event], now: datetime) -> list[Recorded]:
    """Keep events in the order given; the results are in that order too."""
    known = _known(transaction, events)
    rows: list[dict[str, object]] = []
    stored: list[StoredEvent] = []
    results: list[Recorded] = []
    scribes: dict[str, _Scribe] = {}
    for event in events:
        event_id = str(event.event_id)
        if event_id in known:
            results.append(Recorded(event, "duplicate", known[event_id]))
            continue
        if event.run_id not in scribes:
            of_run = [each for each in events if each.run_id == event.run_id]
            scribes[event.run_id] = _Scribe(transaction, of_run, now)
        seq = known[event_id] = scribes[event.run_id].note(event)
        body = event.model_dump_json()
        rows.append(
            {
                "run_id": event.run_id,
                "seq": seq,
                "event_id": event_id,
                "type": event.type,
                "round": event.round,
                "node_id": event.node_id,
                "received_at": now,
                "body": body,
            }
        )
        stored.append(StoredEvent(event.run_id, seq, now, body))
        results.append(Recorded(event, "accepted", seq))
    if rows:
        transaction.session.execute(insert(EventRow), rows)
        transaction.announce(stored)
    return results


def _known(transaction: Transaction, events: Sequence[Event]) -> dict[str, int]:
    ids = [str(event.event_id) for event in events]
    known: dict[str, int] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[start : start + _IDS_AT_ONCE]
        found = transaction.session.exec(
            select(EventRow.event_id, EventRow.seq).where(col(EventRow.event_id).in_(part))
        )
        known.update(found.all())
    return known


class _Scribe:
    """Applies events of one run to its rows, one after the other; asks the database once for all that they concern."""

    def __init__(self, transaction: Transaction, events: Sequence[Event], now: datetime) -> None:
        run_id = events[0].run_id
        self._session = transaction.session
        self._now = now
        run = self._session.get(RunRow, run_id)
        if run is None:
            run = RunRow(run_id=run_id, created_at=now, state=State.REQUESTED, attempt=1, claimable=False)
            self._session.add(run)
        self._run = run
        with self._session.no_autoflush:
            emitters = self._session.exec(
                select(EmitterRow).where(
                    EmitterRow.run_id == run_id, col(EmitterRow.emitter_id).in_({each.emitter_id for each in events})
                )
            )
            nodes = self._session.exec(
                select(NodeRow).where(
                    NodeRow.run_id == run_id, col(NodeRow.node_id).in_({each.node_id for each in events})
                )
            )
            self._emitters = {row.emitter_id: row for row in emitters}
            self._nodes = {row.node_id: row for row in nodes}

    def note(self, event: Event) -> int:
        """Its number in the run."""
        run = self._run
        run.last_seq += 1
        run.last_event_at = self._now
        self._note_emitter(event)
        self._note_node(event)
        before = control_of(run)
        after = noticed(before, notice_of(event), event.attempt)
        if event.attempt == after.attempt:
            self._note_facts(event)
        if after.attempt > before.attempt:
            overtake(self._session, run)
        if after != before:
            set_control(run, after)
            settle(self._session, run, after, event.round, self._now)
        return run.last_seq

    def _note_emitter(self, event: Event) -> None:
        emitter = self._emitters.get(event.emitter_id)
        if emitter is None:
            emitter = EmitterRow(run_id=event.run_id, emitter_id=event.emitter_id, received=0, highest=0)
            self._session.add(emitter)
        self._emitters[event.emitter_id] = emitter
        emitter.received += 1
        emitter.highest = max(emitter.highest, event.emitter_seq)

    def _note_node(self, event: Event) -> None:
        node = self._nodes.get(event.node_id)
        facts = event.model_dump(include=_NODE_FACTS)
        if node is None:
            node = NodeRow(run_id=event.run_id, node_id=event.node_id, **facts)
            self._session.add(node)
        else:
            node.sqlmodel_update(facts)
        self._nodes[event.node_id] = node
        of_server = event.node_id in _SERVER_NODES
        if (event.role == "server") == of_server or isinstance(event, ClientUpdateUploaded):
            node.last_seen_at = self._now
        node.reason = event.reason if isinstance(event, NodeError) else None

    def _note_facts(self, event: Event) -> None:
        run = self._run
        run.round = event.round if event.attempt > run.attempt else max(run.round, event.round)
        match event:
            case RunRequested() if run.request is None:  # later ones are of the process that carries it out
                run.phase = event.request.phase
                run.request = event.request.model_dump_json()
                run.requested_by = event.request.requested_by
            case RunStarted():
                run.engine, run.rounds_total, run.clients = event.engine, event.rounds_total, event.clients
                run.reason = None
            case RunCompleted():
                run.model_sha256 = event.model_sha256
            case RunFailed() | RunStopped():
                run.reason = event.reason
            case _:
                pass
