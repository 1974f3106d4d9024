"""Puts the application on a port."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import closing
from types import FrameType

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from monitor.app import create_app
from monitor.database import Database
from monitor.errors import MonitorError
from monitor.settings import NO_DASHBOARD, Settings, SettingsError

_LARGEST_FRAME = 1 << 16
"""Readers of the stream have nothing to say."""
_GOOD_BYE_SECONDS = 2.0
_KEPT_ALIVE_SECONDS = 15
"""Longer than between two looks of a page: a connection that is closed just then takes a request with it."""
_LINE = "%(asctime)s %(levelname)s %(message)s"
_ANOTHER_PORT = "Choose another --port; 0 takes a free one."


def serve_until_signal(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        say: told where it is, once it can be asked.

    Raises:
        SettingsError: it cannot listen there, or would be open to a network without a token.
        DatabaseError: another monitor has its database, or it cannot be used.
    """
    application = create_app(settings)
    with closing(Database(settings.database)) as database, closing(_listen(settings)) as listener:
        application.state.database = database
        logging.basicConfig(format=_LINE, level=logging.WARNING)
        wildcard = settings.host in ("0.0.0.0", "::")  # noqa: S104
        name = "127.0.0.1" if wildcard else settings.host
        url = f"http://{name}:{listener.getsockname()[1]}"
        say(f"monitor at {url}, data in {settings.database}")
        say(f"dashboard at {url}/" if settings.dashboard else NO_DASHBOARD)
        config = uvicorn.Config(
            application,
            log_level="warning",
            ws=_Connection,
            ws_max_size=_LARGEST_FRAME,
            ws_per_message_deflate=False,  # for each reader anew it costs more than all else that is done for him
            ws_ping_interval=settings.patience_seconds,
            ws_ping_timeout=settings.patience_seconds,
            timeout_keep_alive=_KEPT_ALIVE_SECONDS,
            timeout_graceful_shutdown=2,
            server_header=False,
            proxy_headers=False,
        )
        server = _Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise MonitorError("the monitor has not started.", remedy="The lines above say why.")


class _Connection(WebSocketsSansIOProtocol):
    """A reader of the stream: it is sent no more than it takes, and given up when it does not even take a good-bye."""

    def pause_writing(self) -> None:
        self.writable.clear()  # uvicorn waits for it, but nothing of its own ever clears it

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.writable.set()  # who waits for it learns that it is gone

    async def run_asgi(self) -> None:
        await super().run_asgi()
        asyncio.get_running_loop().call_later(_GOOD_BYE_SECONDS, self.transport.abort)


class _Server(uvicorn.Server):
    """Sends home who waits for news before it waits for them to go."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        service = getattr(self.config.app.state, "service", None)  # type: ignore[union-attr]
        if service is not None:
            service.end()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            remedy=_ANOTHER_PORT if error.errno in (errno.EADDRINUSE, errno.EACCES) else "Choose another --host.",
        ) from error
    return listener
