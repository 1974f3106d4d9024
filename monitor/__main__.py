"""`python -m monitor`: serve the monitor; `fedforge monitor` executes it."""

from __future__ import annotations

import io
import os
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from monitor import retention
from monitor.database import Database
from monitor.errors import MonitorError
from monitor.server import serve_until_signal
from monitor.settings import Settings, SettingsError, built_dashboard

TOKEN = "FEDFORGE_MONITOR_TOKEN"  # noqa: S105
INGEST_TOKEN = "FEDFORGE_MONITOR_INGEST_TOKEN"  # noqa: S105
"""Environment variable; a token on the command line would be seen by every user of the machine.

Containers name a file instead, in the variable of the same name with `_FILE`.
"""

Home = Annotated[Path, typer.Option(envvar="FEDFORGE_HOME", help="FedForge's home")]
Host = Annotated[str, typer.Option(help=f"address to listen on; beyond this machine it needs {TOKEN}")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 chooses a free one")]
Origins = Annotated[list[str], typer.Option("--allow-origin", help="another origin whose pages may use it")]
Hosts = Annotated[
    list[str],
    typer.Option("--allow-host", envvar="FEDFORGE_MONITOR_HOSTS", help="another name that it may be asked for by"),
]
Patience = Annotated[float, typer.Option(min=0.1, help="seconds that a reader or a sender who does not go on has")]
BehindProxy = Annotated[
    bool, typer.Option("--behind-proxy", help=f"a proxy on this machine passes requests on; it needs {TOKEN}")
]
Dashboard = Annotated[
    Path | None,
    typer.Option(
        envvar="FEDFORGE_MONITOR_DASHBOARD", help="a folder of a built dashboard, in place of the package's own"
    ),
]
Silence = Annotated[float, typer.Option(min=1, help="seconds of silence after which a run is lost")]
_tracebacks = False


def _show_tracebacks(wanted: bool) -> bool:
    global _tracebacks
    _tracebacks = _tracebacks or wanted
    return wanted


Debug = Annotated[
    bool,
    typer.Option("--debug", help="show the traceback of an error", is_eager=True, callback=_show_tracebacks),
]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps every event of every run, and takes commands for them.",
)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    home: Home = Path(".fedforge"),
    host: Host = "127.0.0.1",
    port: Port = 8400,
    behind_proxy: BehindProxy = False,
    allow_origin: Origins = [],  # noqa: B006
    allow_host: Hosts = [],  # noqa: B006
    silence: Silence = 30.0,
    patience: Patience = 10.0,
    dashboard: Dashboard = None,
    debug: Debug = False,
) -> None:
    """Serve the monitor until SIGTERM or Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings(
        home=home,
        host=host,
        port=port,
        token=_token(TOKEN),
        ingest_token=_token(INGEST_TOKEN),
        behind_proxy=behind_proxy,
        origins=tuple(allow_origin),
        hosts=tuple(allow_host),
        silence=timedelta(seconds=silence),
        patience_seconds=patience,
        dashboard=dashboard or built_dashboard(),
    )
    serve_until_signal(settings, say=typer.echo)


@app.command()
def prune(
    context: typer.Context,
    older_than: Annotated[float, typer.Option(min=0, help="days since a run was heard of last")],
    home: Annotated[Path | None, typer.Option(help="FedForge's home")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="give the space back to the disk; writers wait")] = False,
    debug: Debug = False,
) -> None:
    """Forget runs that ended long ago, also while a monitor serves. Their logs in the home stay."""
    assert context.parent is not None
    chosen = home or Path(context.parent.params["home"])  # which typer gives as it was typed
    database = Database(Settings(chosen).database, beside=True)
    try:
        before = datetime.now(UTC) - timedelta(days=older_than)
        runs = retention.old_runs(database, before)
        if not dry_run:
            runs = retention.forget(database, runs, before)
        for run in runs:
            typer.echo(
                f"{run.run_id}: {run.state}, heard of last at {run.last_event_at:%Y-%m-%d %H:%M}, {run.events} events"
            )
        typer.echo(f"{len(runs)} runs {'would be' if dry_run else 'are'} forgotten")
        if compact and not dry_run:
            database.compact()
    finally:
        database.close()


def _token(name: str) -> str | None:
    """The token that a variable holds, or the file that the variable of its name with `_FILE` names."""
    file = os.environ.get(f"{name}_FILE")
    if os.environ.get(name) or not file:
        return os.environ.get(name) or None
    try:
        token = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE: cannot read {file}: {getattr(error, 'strerror', None) or error}.") from error
    if not token:
        raise SettingsError(f"{name}_FILE: {file} is empty.", remedy="Write the token into it.")
    return token


def main() -> None:
    """An expected error is one line on standard error and exit code 1; no text is refused for its alphabet."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except MonitorError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"the operating system refused {error.filename or 'what was asked of it'}: {error.strerror or error}.")


def _fail(message: str) -> NoReturn:
    if _tracebacks:
        traceback.print_exc()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
