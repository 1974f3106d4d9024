"""A monitor without its server: the real database and its writer, at moments of the test's choosing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from monitor.control import Command
from monitor.database import Database
from monitor.finding import events_after
from monitor.orders import Order, claim, give, renew, require_run
from monitor.recording import Incoming, record_events, recording
from monitor.reducer import fold
from monitor.rows import run_facts
from monitor.schema import RunRequest, RunRequested, event_adapter
from monitor.silence import declare_lost
from monitor.writer import Transaction, Writer
from tests.support.monitor_process import of_server

BEGIN = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SILENCE, LEASE = timedelta(seconds=30), timedelta(seconds=30)
T = TypeVar("T")


class MonitorInHand:
    """The monitor's database and its clock."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self.database = database
        self._writer = writer
        self.seconds = 0.0
        self._orders = count(1)
        self._numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(1))

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def do(self, work: Callable[[Transaction], T]) -> T:
        return self._writer.submit(work).result()

    def ask_for(self, run_id: str) -> None:
        def work(transaction: Transaction) -> None:
            with recording(transaction, run_id, self.now) as record:
                record.do(RunRequested, request=RunRequest(phase="blood"))

        self.do(work)

    def claim(self, run_id: str, claimant: str = "agent on a") -> str:
        seconds = LEASE.total_seconds()
        lease_id = self.do(lambda change: claim(change, run_id, claimant, None, seconds, self.now).lease_id)
        assert lease_id is not None
        return lease_id

    def renew(self, run_id: str, lease_id: str) -> None:
        self.do(lambda change: renew(change, run_id, lease_id, LEASE.total_seconds(), self.now))

    def give(self, run_id: str, command: Command) -> None:
        order = Order(f"{command}-{run_id}-{next(self._orders)}", run_id, command, "Ada")
        self.do(lambda change: give(change, order, self.now))

    def hear(self, *events: dict[str, Any]) -> None:
        incoming = [Incoming(each, each.model_dump_json()) for each in map(event_adapter.validate_python, events)]
        self.do(lambda change: record_events(change, incoming, self.now))

    def say(self, run_id: str, kind: str, **fields: Any) -> None:
        """An event of the run's server."""
        self.hear(of_server(run_id, next(self._numbers[run_id]), kind, **fields))

    def look(self, *, since: datetime = BEGIN) -> None:
        self.do(lambda change: declare_lost(change, SILENCE, LEASE, since, self.now))

    def told(self, run_id: str) -> list[tuple[str, str]]:
        """Type and status of each event, in order; the fold of them is what the run's row says."""
        with self.database.reading() as session:
            stored = events_after(session, run_id, 0, 1000)
            facts = run_facts(require_run(session, run_id))
        events = [event_adapter.validate_json(each.body) for each in stored]
        folded = fold(zip(events, [each.received_at for each in stored], [each.deed for each in stored], strict=True))
        assert folded is not None
        assert folded.run == facts
        return [(event.type, event.status) for event in events]

    def state(self, run_id: str) -> str:
        with self.database.reading() as session:
            return require_run(session, run_id).state


@contextmanager
def in_hand(folder: Path) -> Iterator[MonitorInHand]:
    database = Database(folder / "monitor.db")
    writer = Writer(database, lambda stored: None)
    try:
        yield MonitorInHand(database, writer)
    finally:
        writer.close()
        database.close()
