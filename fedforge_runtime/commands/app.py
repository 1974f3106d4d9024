"""`fedforge` and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from fedforge_runtime import __version__
from fedforge_runtime.commands import (
    audit,
    data,
    federation,
    hardware,
    node,
    operation,
    runs,
)
from fedforge_runtime.commands.options import DebugOption, with_options

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
    data.partition,
    data.shards,
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
    runs.report,
    runs.bounds,
    runs.demo,
    node.node,
    hardware.hardware_check,
):
    app.command()(with_options(_command))
for _other in (operation.monitor, operation.up, operation.down):  # each is another package's, and takes its options
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
        _other
    )


def _group(debug: DebugOption = False) -> None:
    pass


for _name, _commands in (("federation", federation.app), ("events", operation.events), ("baseline", runs.baselines)):
    _commands.callback()(_group)
    app.add_typer(_commands, name=_name)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False, debug: DebugOption = False
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
