"""The command line: `fedforge`."""

from __future__ import annotations

import atexit
import gc
import signal
from pathlib import Path
from typing import Annotated

import typer

from fedforge_runtime import __version__
from fedforge_runtime.artifacts import storage_error
from fedforge_runtime.commands import (
    audit,
    baseline,
    bounds,
    data,
    federation,
    hardware,
    node,
    operation,
    partition,
    report,
    runs,
    shards,
)
from fedforge_runtime.commands.output import fail
from fedforge_runtime.environment import configure_third_parties
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.home import Home

app = typer.Typer(
    help="Federated learning on medical images: resumable, reproducible, observable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _command in (
    data.prepare,
    audit.audit,
    audit.split,
    partition.partition,
    shards.shards,
    runs.run,
    runs.resume,
    operation.start,
    operation.agent,
    operation.watch,
    operation.pause,
    operation.stop,
    runs.runs,
    runs.show,
    runs.export,
    report.report,
    bounds.bounds,
    runs.demo,
    node.node,
    hardware.hardware_check,
):
    app.command()(_command)
for _other in (operation.monitor, operation.up, operation.down):  # each is another package's, and takes its options
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
        _other
    )
app.add_typer(federation.app, name="federation")
app.add_typer(operation.events, name="events")
app.add_typer(baseline.app, name="baseline")


def main() -> None:
    """The console script: an expected error is one line on standard error and a non-zero exit."""
    configure_third_parties()
    atexit.register(gc.freeze)  # at the end Python would search all of torch for cycles, which takes up to a second
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was begun is cleaned up
    try:
        app()
    except FedForgeError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(str(storage_error(error, Path(error.filename or Home.resolve(None).root))), 1)
    except KeyboardInterrupt:
        fail("interrupted.", 130)
    except Exception as error:
        fail(f"{type(error).__name__}: {error} This is a defect of FedForge; --debug shows where.", 70)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


if __name__ == "__main__":
    main()
