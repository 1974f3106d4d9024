"""Commands around a monitor: serve one, ask it for runs and carry them out, pause and stop them, load a log."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fedforge_runtime.commands.options import (
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    JsonOption,
    MonitorOption,
    Phase,
    PlaceOptions,
    RunId,
    RunIdOption,
    SitesOption,
    TrainingOptions,
)
from fedforge_runtime.commands.output import command, tracebacks_are_shown
from fedforge_runtime.errors import RunError
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import find_run, new_run_id

if TYPE_CHECKING:
    from fedforge_runtime.telemetry.monitor_client import MonitorAddress

_AnswerT = TypeVar("_AnswerT")
_DEFAULT_MONITOR = "http://127.0.0.1:8400"
_LOOK_SECONDS = 3.0

events = typer.Typer(help="Event logs of runs.", no_args_is_help=True)


def monitor(context: typer.Context) -> None:
    """Serve the monitor: every event of every run, and their control. Takes the options of `python -m monitor`."""
    _execute("monitor", *context.args)


def up(context: typer.Context) -> None:
    """Serve the monitor and Dagster together until Ctrl-C; --detach returns, `fedforge down` ends it."""
    _execute("fedforge_pipelines.up", "up", *context.args)


def down(context: typer.Context) -> None:
    """End what `fedforge up --detach` has started."""
    _execute("fedforge_pipelines.up", "down", *context.args)


def _execute(module: str, *arguments: str) -> None:
    if tracebacks_are_shown():
        arguments = ("--debug", *arguments)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def pause(
    run_id: RunId, monitor: MonitorOption = None, as_json: JsonOption = False, debug: DebugOption = False
) -> None:
    """Have a run pause before its next round."""
    _command(run_id, "pause", monitor, as_json)


def stop(run_id: RunId, monitor: MonitorOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Have a run stop at once; it can be resumed from its last checkpoint."""
    _command(run_id, "stop", monitor, as_json)


def give(run_id: str, name: str, monitor: str | None) -> Any:
    """Give a run a command; as the monitor keeps it.

    Raises:
        RunError: it is not legal now, or there is no such run.
    """
    from fedforge_runtime.telemetry.answers import Given

    order = {"command": name, "given_by": getpass.getuser()}
    return _ask(monitor, "POST", f"/api/runs/{run_id}/commands", Given, json=order)


def is_live(run_id: str, monitor: str) -> bool:
    """Whether a process of the run is there that only needs to be told to go on.

    A monitor that does not answer soon holds no run up: where there is such a process after all, it has the run's lock.
    """
    from fedforge_runtime.errors import AskError
    from fedforge_runtime.telemetry.answers import Run
    from fedforge_runtime.telemetry.monitor_client import MonitorClient

    with MonitorClient(_address(monitor), patience=_LOOK_SECONDS) as client:
        try:
            return client.ask("GET", f"/api/runs/{run_id}", Run)["state"] in ("pausing", "paused")
        except AskError:
            return False


def _ask(monitor: str | None, method: str, path: str, shape: type[_AnswerT], **request: Any) -> _AnswerT:
    from fedforge_runtime.errors import MonitorRefusedError
    from fedforge_runtime.telemetry.monitor_client import MonitorClient

    with MonitorClient(_address(monitor)) as client:
        try:
            return client.ask(method, path, shape, **request)
        except MonitorRefusedError as error:
            raise RunError(str(error)) from error


def _address(monitor: str | None) -> MonitorAddress:
    from fedforge_runtime.telemetry.monitor_client import MonitorAddress

    return MonitorAddress.parse(monitor or _DEFAULT_MONITOR)


def _command(run_id: str, name: str, monitor: str | None, as_json: bool) -> None:
    with command(as_json=as_json) as emit:
        emit(give(run_id, name, monitor), lambda value: typer.echo(f"{name} asked for, command {value['command_id']}"))


def start(
    phase: Phase,
    options: ConfigurationOptions,
    place: PlaceOptions,
    training: TrainingOptions,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Ask a monitor for a run; an agent, or Dagster, starts it."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.request import request_overrides
        from fedforge_runtime.telemetry.answers import Run

        training.refuse_both(options.partition)
        config = options.run_config(phase, {**place.keys(), **training.keys()}, strategy=training.strategy)
        request = {
            "phase": phase,
            "profile": options.profile,
            "overrides": request_overrides(config, profile=options.profile),
            "requested_by": getpass.getuser(),
        }
        asked = {"run_id": run_id or new_run_id(phase), "request": request}
        emit(
            _ask(place.monitor, "POST", "/api/runs", Run, json=asked),
            lambda value: typer.echo(f"{value['run_id']} is asked for"),
        )


def agent(
    place: PlaceOptions,
    sites: SitesOption = None,
    offer_data: Annotated[
        list[str] | None,
        typer.Option(
            "--offer-data", metavar="NAME=FOLDER", help="images that may be asked for by this name; repeatable"
        ),
    ] = None,
    offer_backbone: Annotated[
        list[str] | None,
        typer.Option("--offer-backbone", metavar="NAME=FOLDER", help="a checkpoint that may be asked for by this name"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="end after one run")] = False,
    home: HomeOption = None,
    debug: DebugOption = False,
) -> None:
    """Start the runs that a monitor has requests for, one after another, until Ctrl-C.

    --engine, --superlink with --root-certificates and --handover, and --sites say what it takes where a request says
    nothing of them; so do FEDFORGE_SUPERLINK, FEDFORGE_DEFAULTS and the like in the environment.
    A page names no path: folders of this machine are offered to it by --offer-data and --offer-backbone.
    """
    with command(as_json=False):
        from fedforge_runtime.runs.claims import Claimant
        from fedforge_runtime.runs.offer import ClaimantDefaults, named_folders

        chosen = Home.resolve(home).require_writable()
        address = _address(place.monitor)
        there = ClaimantDefaults.of_environment()
        defaults = replace(
            there,
            engine=place.engine,
            superlink=place.superlink or there.superlink,
            root_certificates=place.root_certificates or there.root_certificates,
            handover=place.handover or there.handover,
            sites=sites,
            data={**there.data, **named_folders("--offer-data", offer_data)},
            backbones={**there.backbones, **named_folders("--offer-backbone", offer_backbone)},
        )
        name = f"agent on {socket.gethostname()}, process {os.getpid()}"
        claimant = Claimant(address, chosen, name=name, say=typer.echo, defaults=defaults)
        claimant.stop.hear_signals()
        typer.echo(f"waiting for requests of {address.url}")
        claimant.serve(once=once)


def watch(run_id: RunId, monitor: MonitorOption = None, debug: DebugOption = False) -> None:
    """Show a run live, event by event, until it ends."""
    with command(as_json=False):
        from fedforge_runtime.runs.watch_run import follow

        follow(_address(monitor), run_id, say=typer.echo)


@events.command("import")
def import_events(
    run_id: RunId,
    home: HomeOption = None,
    monitor: MonitorOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Send the log of a run to a monitor; what it has already is sent again and does no harm."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.telemetry.monitor_client import MonitorClient
        from fedforge_runtime.telemetry.outbox import Delivered, Delivery

        folder = find_run(run_id, Home.resolve(home))
        with MonitorClient(_address(monitor), emits=True) as client:
            delivery, total = Delivery(folder, client, from_start=True), Delivered()
            while (sent := delivery.send_next()) is not None:
                total += sent
        emit(
            {"run_id": run_id, **vars(total)},
            lambda value: typer.echo(
                f"{value['accepted']} events are new to the monitor, {value['duplicates']} were there already."
            ),
        )
        if total.refused:
            raise RunError(
                f"{total.refused} lines were refused by the monitor.", remedy=f"They are in {folder.refused_events}."
            )
