"""The one thread that writes: whatever waits goes into one transaction, and is answered once that is on disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from monitor.database import Database
from monitor.errors import OverloadedError
from monitor.stored import StoredEvent

_LONGEST_QUEUE = 1024
_LARGEST_TRANSACTION = 64

T = TypeVar("T")


class Transaction:
    """What a piece of work may do.

    Args:
        session: to read and write; it is flushed and committed by the writer.
        database: the identity of what is written to.
    """

    def __init__(self, session: Session, database: str) -> None:
        self.session = session
        self.database = database
        self.announced: list[StoredEvent] = []

    def announce(self, events: Sequence[StoredEvent]) -> None:
        """Have readers told of new events, once they are on disk."""
        self.announced.extend(events)


@dataclass
class _Job:
    work: Callable[[Transaction], Any]
    outcome: Future[Any] = field(default_factory=Future)


class Writer:
    """Carries out work on the database, one piece after the other.

    A piece that fails leaves nothing; the others of its transaction are not touched by it.

    Args:
        database: it has no other writer.
        announce: called in the writer's thread with the events of each transaction, after it is on disk.
    """

    def __init__(self, database: Database, announce: Callable[[Sequence[StoredEvent]], None]) -> None:
        self._database = database
        self._announce = announce
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_LONGEST_QUEUE)
        self._thread = threading.Thread(target=self._serve, name="database-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Have `work` done; its result comes once it is on disk.

        Raises:
            OverloadedError: too much is waiting already.
        """
        job = _Job(work)
        try:
            self._jobs.put_nowait(job)
        except queue.Full as error:
            raise OverloadedError(
                "the monitor has more to write than it can.", remedy="Send it again later."
            ) from error
        return job.outcome

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs, ends = [job], False
            while len(jobs) < _LARGEST_TRANSACTION and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    ends = True
                    break
                jobs.append(following)
            self._write([each for each in jobs if each.outcome.set_running_or_notify_cancel()])
            if ends:
                return

    def _write(self, jobs: Sequence[_Job]) -> None:
        results: list[tuple[Any, BaseException | None]] = []
        announced: list[StoredEvent] = []
        try:
            with self._database.writing() as connection:
                for job in jobs:
                    transaction = Transaction(
                        Session(connection, join_transaction_mode="create_savepoint"), self._database.identity
                    )
                    with transaction.session as session:
                        try:
                            result = job.work(transaction)
                            session.commit()  # releases the savepoint
                        except OperationalError:  # the disk, a lock: SQLite may have rolled back everything
                            raise
                        except Exception as error:
                            session.rollback()
                            results.append((None, error))
                        else:
                            results.append((result, None))
                            announced.extend(transaction.announced)
        except Exception as error:
            results, announced = [(None, error)] * len(jobs), []
        if announced:
            self._announce(announced)
        for job, (result, failure) in zip(jobs, results, strict=True):
            if failure is not None:
                job.outcome.set_exception(failure)
            else:
                job.outcome.set_result(result)
