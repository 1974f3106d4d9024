"""The monitor's web application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, status
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from monitor.database import Database
from monitor.errors import DatabaseError, MonitorError, OverloadedError
from monitor.guard import Guard
from monitor.orders import ConflictError, UnknownRunError, declare_lost
from monitor.routes import events, health, runs, stream
from monitor.service import Service
from monitor.settings import Settings
from monitor.shapes import Problem
from monitor.stream import Newest
from monitor.version import VERSION
from monitor.writer import Writer

_WATCH_SECONDS = 1.0
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status.HTTP_404_NOT_FOUND: {"model": Problem},
    status.HTTP_409_CONFLICT: {"model": Problem},
    status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Problem},
}


def create_app(settings: Settings) -> FastAPI:
    """The application; its database is opened when it starts and closed when it ends.

    Raises:
        SettingsError: it would be open to a network without a token.
    """
    settings.check()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database)
        newest = Newest()
        writer = Writer(database, newest.announce)
        service = app.state.service = Service(settings, database, writer, newest, started_at=datetime.now(UTC))
        watching = asyncio.create_task(_watch(service))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await asyncio.to_thread(writer.close)
            database.close()

    app = FastAPI(
        title="FedForge monitor",
        version=VERSION,
        description="Every event of every run, and what an operator may do with it.",
        lifespan=lifespan,
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_middleware(Guard, settings=settings)
    app.add_exception_handler(MonitorError, _explain)
    for router in (health.router, events.router, runs.router):
        app.include_router(router, responses=_PROBLEMS)
    app.include_router(stream.router)
    if settings.dashboard is not None:
        app.mount("/", StaticFiles(directory=settings.dashboard, html=True))
    return app


async def _watch(service: Service) -> None:
    """Declare lost what is silent; a database that cannot be written now is tried again."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        with suppress(DatabaseError, OverloadedError):
            await service.write(
                lambda transaction: declare_lost(
                    transaction, service.settings.silence, service.started_at, service.now()
                )
            )


async def _explain(request: Request, error: Exception) -> JSONResponse:
    code, problem = status.HTTP_400_BAD_REQUEST, Problem(error=str(error))
    headers = {}
    match error:
        case UnknownRunError():
            code = status.HTTP_404_NOT_FOUND
        case ConflictError():
            code, problem = (
                status.HTTP_409_CONFLICT,
                Problem(error=str(error), state=error.state, allowed=error.allowed),
            )
        case DatabaseError() | OverloadedError():
            code, headers = status.HTTP_503_SERVICE_UNAVAILABLE, {"Retry-After": "1"}
        case _:
            pass
    return JSONResponse(problem.model_dump(mode="json"), status_code=code, headers=headers)
