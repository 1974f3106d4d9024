"""`python -m monitor`: serve the monitor; `fedforge monitor` executes it."""

from __future__ import annotations

import os
import socket
import sys
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from monitor.app import create_app
from monitor.errors import MonitorError
from monitor.settings import Settings, SettingsError, is_loopback

TOKEN = "FEDFORGE_MONITOR_TOKEN"  # noqa: S105
"""Environment variable; a token on the command line would be seen by every user of the machine."""
_LARGEST_FRAME = 1 << 16
"""Readers of the stream have nothing to say."""

Home = Annotated[Path, typer.Option(envvar="FEDFORGE_HOME", help="FedForge's home")]
Host = Annotated[str, typer.Option(help=f"address to listen on; beyond this machine it needs {TOKEN}")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 chooses a free one")]
Origins = Annotated[list[str], typer.Option("--allow-origin", help="another origin whose pages may use it")]
Hosts = Annotated[list[str], typer.Option("--allow-host", help="another name that it may be asked for by")]
Silence = Annotated[float, typer.Option(min=1, help="seconds of silence after which a run is lost")]


def serve(
    home: Home = Path(".fedforge"),
    host: Host = "127.0.0.1",
    port: Port = 8400,
    allow_origin: Origins = [],  # noqa: B006
    allow_host: Hosts = [],  # noqa: B006
    silence: Silence = 30.0,
) -> None:
    """Serve the monitor until SIGTERM or Ctrl-C."""
    settings = Settings(
        home=home,
        host=host,
        port=port,
        token=os.environ.get(TOKEN) or None,
        origins=tuple(allow_origin),
        hosts=tuple(allow_host),
        silence=timedelta(seconds=silence),
    )
    app = create_app(settings)
    listener = _listen(settings)
    name = "127.0.0.1" if not is_loopback(host) and host in ("0.0.0.0", "::") else host  # noqa: S104
    typer.echo(f"monitor at http://{name}:{listener.getsockname()[1]}, data in {settings.database}")
    config = uvicorn.Config(
        app, log_level="warning", ws_max_size=_LARGEST_FRAME, timeout_graceful_shutdown=2, server_header=False
    )
    server = _Server(config)
    server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(1)


class _Server(uvicorn.Server):
    """Sends home who waits for news before it waits for them to go."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        service = getattr(self.config.app.state, "service", None)  # type: ignore[union-attr]
        if service is not None:
            service.newest.end()


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
            remedy="Choose another --port; 0 takes a free one.",
        ) from error
    return listener


def main() -> None:
    """An expected error is one line on standard error and exit code 1."""
    try:
        typer.run(serve)
    except MonitorError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
