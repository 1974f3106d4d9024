"""What the routes work with: the database, its writer, the newest events, what is offered, and the clock."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from sqlmodel import Session
from starlette.requests import HTTPConnection

from monitor.checks import Checks
from monitor.database import Database
from monitor.errors import DatabaseError
from monitor.offers import Offers
from monitor.readiness import Readiness, write_trial
from monitor.run_frames import RunFrames
from monitor.settings import Settings
from monitor.stream import Newest
from monitor.writer import Transaction, Writer

T = TypeVar("T")


@dataclass
class Service:
    """The parts of a running monitor.

    Args:
        now: the monitor's clock.
    """

    settings: Settings
    database: Database
    writer: Writer
    newest: Newest
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    readiness: Readiness = field(default_factory=Readiness)
    offers: Offers = field(default_factory=Offers)
    checks: Checks = field(init=False)
    run_frames: RunFrames = field(init=False)

    def __post_init__(self) -> None:
        self.checks = Checks(self.offers, self.now)
        self.run_frames = RunFrames(self.newest, self.read, self.now)

    def end(self) -> None:
        """Have everybody who waits for something come back: the monitor ends. May be called in any thread."""
        self.newest.end()
        self.checks.end()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Have something written; returns once it is on disk."""
        with self._noting_trouble():
            return await asyncio.wrap_future(self.writer.submit(work))

    async def read(self, query: Callable[[Session], T]) -> T:
        """Read in a thread, as of one moment."""

        def run() -> T:
            with self.database.reading() as session:
                return query(session)

        with self._noting_trouble():
            return await run_in_threadpool(run)

    def free_bytes(self) -> int | None:
        """On the disk of the database; `None` where that cannot be known."""
        try:
            return shutil.disk_usage(self.settings.database.parent).free
        except OSError:
            return None

    async def require_ready(self) -> None:
        """Write, and read what is on disk; after trouble as much as it takes to know that it is over.

        Raises:
            DatabaseError: it cannot.
        """
        troubled, now = self.readiness.trouble, self.now()
        with self._noting_trouble():
            await self.write(lambda transaction: write_trial(transaction, now, large=troubled))
            await run_in_threadpool(lambda: self.database.look(thoroughly=troubled))
        if troubled:
            self.readiness.works()

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            self.readiness.failed(error)
            raise


def _service(connection: HTTPConnection) -> Service:
    service: Service = connection.app.state.service
    return service


Serviced = Annotated[Service, Depends(_service)]
