"""Takes events in: drops what is here already, numbers the rest, and lets it move the run.

What a monitor does itself is recorded in the same way, so that the events of a run say all that ever moved it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import uuid_utils
from sqlmodel import col, insert, select

from monitor.deeds import consequences
from monitor.reducer import MONITOR, CommandFacts, NodeFacts, RunFacts, reduce_commands, reduce_node, reduce_run
from monitor.rows import command_facts, command_row, keep_command, keep_node, keep_run, node_facts, node_row, run_facts
from monitor.schema import CommandGiven, Deed, Event, RunRequested, event_adapter
from monitor.stored import StoredEvent
from monitor.tables import CommandRow, EmitterRow, EventRow, NodeRow, RunRow
from monitor.writer import Transaction

_IDS_AT_ONCE = 500


@dataclass(frozen=True)
class Incoming:
    """An event that has come, and its JSON."""

    event: Event
    body: str


@dataclass(frozen=True)
class Recorded:
    """What became of one event: its place in the run, and whether it was here already."""

    event: Event
    outcome: Literal["accepted", "duplicate"]
    seq: int


def record_events(transaction: Transaction, incoming: Sequence[Incoming], now: datetime) -> list[Recorded]:
    """Keep events in the order given; the results are in that order too."""
    known = _known(transaction, [str(each.event.event_id) for each in incoming])
    results: list[Recorded] = []
    records: dict[str, Record] = {}
    for each in incoming:
        event, event_id = each.event, str(each.event.event_id)
        if event_id in known:
            results.append(Recorded(event, "duplicate", known[event_id]))
            continue
        record = records.get(event.run_id)
        if record is None:
            of_run = [other.event for other in incoming if other.event.run_id == event.run_id]
            record = records[event.run_id] = Record(
                transaction,
                event.run_id,
                now,
                emitters={other.emitter_id for other in of_run},
                nodes={other.node_id for other in of_run},
            )
        seq = known[event_id] = record.note(each)
        results.append(Recorded(event, "accepted", seq))
    for record in records.values():
        record.keep()
    return results


@contextmanager
def recording(transaction: Transaction, run_id: str, now: datetime) -> Iterator[Record]:
    """Record deeds of this monitor in the block; they are kept at its end, and the run's rows show what they did."""
    record = Record(transaction, run_id, now)
    yield record
    record.keep()


def emitter_of(database: str) -> str:
    """The emitter of the deeds of the monitor that has a database."""
    return f"{MONITOR}-{database[:12]}"


class Record:
    """Applies events of one run, one after the other; asks the database once for all that they concern.

    Args:
        emitters: whose events will come.
        nodes: that they will be about.
    """

    def __init__(
        self,
        transaction: Transaction,
        run_id: str,
        now: datetime,
        *,
        emitters: Collection[str] = (),
        nodes: Collection[str] = (),
    ) -> None:
        self._transaction = transaction
        self._session = session = transaction.session
        self._now = now
        row = session.get(RunRow, run_id)
        if row is None:
            row = RunRow(run_id=run_id, created_at=now, state="requested", attempt=1, claimable=False)
            session.add(row)
        self._row = row
        self._run = run_facts(row)
        self._deeds_by = emitter_of(transaction.database)
        with session.no_autoflush:
            found = select(EmitterRow).where(
                EmitterRow.run_id == run_id, col(EmitterRow.emitter_id).in_({*emitters, self._deeds_by})
            )
            self._emitters = {row.emitter_id: row for row in session.exec(found)}
            present = select(NodeRow).where(NodeRow.run_id == run_id, col(NodeRow.node_id).in_(set(nodes)))
            self._node_rows = {row.node_id: row for row in session.exec(present)} if nodes else {}
        self._nodes = {name: node_facts(row) for name, row in self._node_rows.items()}
        self._command_rows: dict[str, CommandRow] | None = None
        self._commands: dict[str, CommandFacts] = {}
        self._rows: list[dict[str, object]] = []
        self._stored: list[StoredEvent] = []

    @property
    def run(self) -> RunFacts:
        """The run as the events so far have left it."""
        return self._run

    def do(self, deed: type[Deed] | type[RunRequested], **fields: Any) -> None:
        """Record a deed of this monitor, and what follows from it."""
        known = self._emitters.get(self._deeds_by)
        event = event_adapter.validate_python(
            {
                "type": deed.model_fields["type"].default,
                "event_id": str(uuid_utils.uuid7()),
                "emitter_id": self._deeds_by,
                "emitter_seq": (known.highest if known else 0) + 1,
                "ts": self._now,
                "run_id": self._row.run_id,
                "attempt": self._run.control.attempt,
                "round": 0,
                "node_id": MONITOR,
                "role": "server",
                **fields,
            }
        )
        self.note(Incoming(event, event.model_dump_json()), deed=True)

    def note(self, incoming: Incoming, *, deed: bool = False) -> int:
        """Take in an event and what follows from it; its number in the run."""
        event, run = incoming.event, self._run
        before, claimed_by = run.control, run.claimed_by
        reduce_run(run, event, self._now, deed=deed)
        seq = run.last_seq
        self._note_emitter(event)
        self._note_node(event)
        self._add(incoming, seq, deed=deed)
        if deed and isinstance(event, Deed):
            reduce_commands(self._unsettled(), event, self._now)
        if run.control != before or (deed and isinstance(event, CommandGiven)):
            under_way = [each for each in self._unsettled().values() if each.outcome is None]
            number = event.round or run.round
            for following, fields in consequences(
                event, before, run.control, claimed_by=claimed_by, round_number=number, unsettled=under_way
            ):
                self.do(following, **fields)
        return seq

    def keep(self) -> None:
        """Write everything down, and have readers told."""
        keep_run(self._row, self._run)
        if self._run.claimed_by is None:
            self._row.lease_id = self._row.lease_expires_at = None
        for name, node in self._nodes.items():
            row = self._node_rows.get(name)
            if row is None:
                self._session.add(node_row(self._run.run_id, node))
            else:
                keep_node(row, node)
        for command_id, command in self._commands.items():
            assert self._command_rows is not None
            kept = self._command_rows.get(command_id)
            if kept is None:
                self._session.add(command_row(self._run.run_id, command))
            else:
                keep_command(kept, command)
        if self._rows:
            self._session.execute(insert(EventRow), self._rows)
            self._transaction.announce(self._stored)

    def _unsettled(self) -> dict[str, CommandFacts]:
        """The commands that were under way, and those given since."""
        if self._command_rows is None:
            query = select(CommandRow).where(CommandRow.run_id == self._run.run_id, col(CommandRow.outcome).is_(None))
            with self._session.no_autoflush:
                self._command_rows = {row.command_id: row for row in self._session.exec(query)}
            self._commands = {name: command_facts(row) for name, row in self._command_rows.items()}
        return self._commands

    def _add(self, incoming: Incoming, seq: int, *, deed: bool) -> None:
        event = incoming.event
        self._rows.append(
            {
                "run_id": event.run_id,
                "seq": seq,
                "event_id": str(event.event_id),
                "type": event.type,
                "round": event.round,
                "node_id": event.node_id,
                "received_at": self._now,
                "deed": deed,
                "body": incoming.body,
            }
        )
        self._stored.append(StoredEvent(event.run_id, seq, self._now, deed, incoming.body))

    def _note_emitter(self, event: Event) -> None:
        emitter = self._emitters.get(event.emitter_id)
        if emitter is None:
            emitter = EmitterRow(run_id=event.run_id, emitter_id=event.emitter_id, received=0, highest=0)
            self._session.add(emitter)
            self._emitters[event.emitter_id] = emitter
        emitter.received += 1
        emitter.highest = max(emitter.highest, event.emitter_seq)

    def _note_node(self, event: Event) -> None:
        if event.node_id == MONITOR:
            return
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._nodes[event.node_id] = NodeFacts(event.node_id)
        reduce_node(node, event, self._now)


def _known(transaction: Transaction, ids: Sequence[str]) -> dict[str, int]:
    known: dict[str, int] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[start : start + _IDS_AT_ONCE]
        found = transaction.session.exec(
            select(EventRow.event_id, EventRow.seq).where(col(EventRow.event_id).in_(part))
        )
        known.update(found.all())
    return known
