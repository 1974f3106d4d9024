"""What the routes work with: the database, its writer, the newest events and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from sqlmodel import Session
from starlette.requests import HTTPConnection

from monitor.database import Database
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

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Have something written; returns once it is on disk."""
        return await asyncio.wrap_future(self.writer.submit(work))

    async def read(self, query: Callable[[Session], T]) -> T:
        """Read in a thread, as of one moment."""

        def run() -> T:
            with self.database.reading() as session:
                return query(session)

        return await run_in_threadpool(run)


def _service(connection: HTTPConnection) -> Service:
    service: Service = connection.app.state.service
    return service


Serviced = Annotated[Service, Depends(_service)]
