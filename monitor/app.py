"""The monitor's web application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from monitor.errors import DatabaseError, OverloadedError
from monitor.frames import describe_frames
from monitor.guard import Guard
from monitor.pages import Pages
from monitor.problems import documented, explain_errors
from monitor.routes import checks, events, federations, health, offers, reports, runs, session, stream, words
from monitor.service import Service
from monitor.settings import Settings
from monitor.silence import Listening, declare_lost
from monitor.stream import Newest
from monitor.version import VERSION
from monitor.writer import Writer

_WATCH_SECONDS = 1.0


def create_app(settings: Settings) -> FastAPI:
    """The application; it works on the open `monitor.database.Database` that its `state.database` is set to.

    Raises:
        SettingsError: it would be open to a network without a token.
    """
    settings.check()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = app.state.database
        newest = Newest()
        writer = Writer(database, newest.announce)
        service = app.state.service = Service(settings, database, writer, newest)
        watching = asyncio.create_task(_watch(service))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await asyncio.to_thread(writer.close)

    app = FastAPI(
        title="FedForge monitor",
        version=VERSION,
        description="Every event of every run, and what an operator may do with it.",
        lifespan=lifespan,
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        swagger_ui_oauth2_redirect_url=None,
    )
    app.add_middleware(Guard, settings=settings)
    describe_frames(app)
    explain_errors(app)
    app.include_router(health.router, responses=documented())
    app.include_router(words.router, responses=documented())
    app.include_router(session.router, responses=documented(400))
    app.include_router(events.router, responses=documented(400))
    app.include_router(runs.router, responses=documented(400, 404, 409))
    app.include_router(federations.router, responses=documented(400, 404))
    app.include_router(offers.router, responses=documented(400, 404))
    app.include_router(checks.router, responses=documented(400, 404))
    app.include_router(reports.router, responses=documented(400, 404))
    app.include_router(stream.router)
    app.router.default = Pages(settings.dashboard)  # no mount: that would take the API's 405 and redirects, too
    return app


async def _watch(service: Service) -> None:
    """Declare lost what is silent; a database that cannot be written now is tried again."""
    silence, lease = service.settings.silence, timedelta(seconds=service.settings.lease_seconds)
    listening = Listening(service.now())
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        now = service.now()
        since = listening.since(now)
        with suppress(DatabaseError, OverloadedError):
            await service.write(partial(declare_lost, silence=silence, lease=lease, since=since, now=now))
            if service.readiness.trouble:
                await service.require_ready()
