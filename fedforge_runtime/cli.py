"""The command line: `fedforge`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fedforge_runtime import __version__
from fedforge_runtime.artifacts import storage_error
from fedforge_runtime.config import (
    RunConfig,
    RuntimeConfig,
    change_run_config,
    load_run_config,
    read_run_config,
)
from fedforge_runtime.environment import configure_third_parties
from fedforge_runtime.errors import ConfigError, FedForgeError, RunError
from fedforge_runtime.home import Home
from monitor.schema import RunRequest

app = typer.Typer(
    help="Federated learning on medical images: resumable, reproducible, observable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Phase = Annotated[str, typer.Argument(metavar="PHASE", help="blood, derma or path")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID")]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="where data and runs live; default $FEDFORGE_HOME or ./.fedforge"),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML whose keys replace the phase's")]
ProfileOption = Annotated[str, typer.Option("--profile", help="cpu-safe or tuned")]
DataOption = Annotated[str | None, typer.Option("--data", help="auto, official, phantom, or a folder with the npz")]
BackboneOption = Annotated[str | None, typer.Option("--backbone", help="hub id, checkpoint folder, or untrained")]
EngineOption = Annotated[str | None, typer.Option("--engine", help="inprocess or ray")]
ClientsOption = Annotated[int | None, typer.Option("--clients", help="number of sites")]
RoundsOption = Annotated[int | None, typer.Option("--rounds")]
PartitionOption = Annotated[str | None, typer.Option("--partition", help="NAME[:ARG], for example dirichlet:0.5")]
StrategyOption = Annotated[str | None, typer.Option("--strategy", help="for example fedavg, fedadam, krum")]
SeedOption = Annotated[int | None, typer.Option("--seed")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any configuration key, for example runtime.workers=1"),
]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="a name for the run; default phase-date-time-xxxx")]
ParticipantsOption = Annotated[
    Path | None, typer.Option("--participants", help="replay who took part, from a run's participants.json")
]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on standard output and nothing else")]
DebugOption = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]

_debug = False


def main() -> None:
    """The console script: an expected error is one line on standard error and a non-zero exit."""
    configure_third_parties()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was begun is cleaned up
    try:
        app()
    except FedForgeError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(str(storage_error(error, Path(error.filename or Home.resolve(None).root))), 1)
    except KeyboardInterrupt:
        _fail("interrupted.", 130)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} This is a defect of FedForge; --debug shows where.", 70)


def _fail(message: str, exit_code: int) -> None:
    if _debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(exit_code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def prepare(
    phase: Phase,
    home: HomeOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = "cpu-safe",
    data: DataOption = None,
    backbone: BackboneOption = None,
    clients: ClientsOption = None,
    partition: PartitionOption = None,
    seed: SeedOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Download, check, partition and preprocess the data and compute the features, without training."""
    run_config = _configuration(
        phase,
        config,
        profile,
        assignments,
        {"dataset.source": data, "backbone.name": backbone, "partition.clients": clients, "seed": seed},
        partition=partition,
    )
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.console import ConsoleNarrator, print_artifacts
        from fedforge_runtime.federation.preparation import prepare_everything

        artifacts = prepare_everything(run_config, home=Home.resolve(home), narrator=ConsoleNarrator())
        emit(
            {each.kind: {"key": each.key, "path": str(each.path), "created": each.created} for each in artifacts},
            lambda _: print_artifacts(
                [(each.kind, "made" if each.created else "unchanged", str(each.path)) for each in artifacts]
            ),
        )


@app.command()
def run(
    phase: Phase,
    home: HomeOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = "cpu-safe",
    data: DataOption = None,
    backbone: BackboneOption = None,
    engine: EngineOption = None,
    clients: ClientsOption = None,
    rounds: RoundsOption = None,
    partition: PartitionOption = None,
    strategy: StrategyOption = None,
    seed: SeedOption = None,
    assignments: SetOption = None,
    run_id: RunIdOption = None,
    participants: ParticipantsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a federated model and write its run folder."""
    options = {
        "dataset.source": data,
        "backbone.name": backbone,
        "runtime.engine": engine,
        "partition.clients": clients,
        "federation.rounds": rounds,
        "seed": seed,
    }
    run_config = _configuration(phase, config, profile, assignments, options, partition=partition, strategy=strategy)
    _start(run_config, home, profile, run_id, participants, as_json, debug)


@app.command()
def demo(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """A small blood run that works anywhere: real images and weights where there is a network, else stand-ins."""
    run_config = load_run_config(
        "blood",
        profile="tuned",
        options={
            "dataset.source": "auto",
            "dataset.limit": 1500,
            "backbone.name": "auto:facebook/deit-tiny-patch16-224",
            "partition.clients": 3,
            "federation.rounds": 3,
        },
    )
    _start(run_config, home, "tuned", None, None, as_json, debug)


@app.command()
def resume(
    run_id: RunId,
    home: HomeOption = None,
    engine: EngineOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Go on with a run that was stopped, failed or killed, from its last checkpoint; same model as undisturbed.

    Only where it runs may change: --engine, --set runtime.KEY=VALUE.
    """
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.console import ConsoleNarrator, print_run
        from fedforge_runtime.federation.run import find_run, resume_run
        from fedforge_runtime.federation.summary import summarise_run

        chosen = Home.resolve(home)
        before = read_run_config(find_run(run_id, chosen).config)
        runtime = _resumed_runtime(before, engine, assignments)
        folder = resume_run(run_id, home=chosen, narrator=ConsoleNarrator(), runtime=runtime)
        emit(summarise_run(folder), print_run)


@app.command()
def runs(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the runs of a home, oldest first."""
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.console import print_runs
        from fedforge_runtime.federation.run import list_runs
        from fedforge_runtime.federation.summary import summarise_run

        summaries = [summarise_run(folder) for folder in list_runs(Home.resolve(home))]
        emit({"runs": summaries}, lambda value: print_runs(value["runs"]))


@app.command()
def show(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Rounds, clients, scores and paths of one run."""
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.console import print_run
        from fedforge_runtime.federation.run import find_run
        from fedforge_runtime.federation.summary import summarise_run

        emit(summarise_run(find_run(run_id, Home.resolve(home))), print_run)


@app.command()
def export(
    run_id: RunId,
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Copy a completed run's model to DIR, in Hugging Face's format."""
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.federation.run import find_run

        source = find_run(run_id, Home.resolve(home))
        if not source.metrics.exists():
            raise RunError(f"the run {run_id!r} has no model yet.", remedy=f"Finish it with: fedforge resume {run_id}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder} exists and is not an empty folder.", remedy="Choose another DIR.")
        try:
            shutil.copytree(source.model, folder, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            reason = error if isinstance(error, OSError) else OSError(str(error))
            raise storage_error(reason, folder) from error
        emit({"run_id": run_id, "model": str(folder)}, lambda value: typer.echo(value["model"]))


def _start(
    config: RunConfig,
    home: Path | None,
    profile: str,
    run_id: str | None,
    participants: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    with _command(as_json=as_json, debug=debug) as emit:
        from fedforge_runtime.console import ConsoleNarrator, print_run
        from fedforge_runtime.federation.run import new_run_id, start_run
        from fedforge_runtime.federation.summary import summarise_run

        folder = start_run(
            config,
            home=Home.resolve(home),
            run_id=run_id or new_run_id(config.phase),
            request=RunRequest.model_validate({"phase": config.phase, "profile": profile}),
            narrator=ConsoleNarrator(),
            participants_file=participants,
        )
        emit(summarise_run(folder), print_run)


def _configuration(
    phase: str,
    config: Path | None,
    profile: str,
    assignments: list[str] | None,
    options: dict[str, Any],
    *,
    partition: str | None = None,
    strategy: str | None = None,
) -> RunConfig:
    if partition:
        from fedforge_runtime.data.partition import parse_partition

        name, parameters = parse_partition(partition)
        options = options | {"partition.name": name, "partition.parameters": parameters}
    if strategy:
        options = options | {"federation.strategy": {"name": strategy, "parameters": {}}}
    return load_run_config(phase, profile=profile, config_file=config, options=options, assignments=assignments or [])


def _resumed_runtime(before: RunConfig, engine: str | None, assignments: list[str] | None) -> RuntimeConfig:
    """The runtime section for a resumed attempt; every other key is the run's own and stays."""
    for assignment in assignments or []:
        if not assignment.startswith("runtime."):
            raise ConfigError(
                f"--set {assignment}: a resumed run keeps its configuration.",
                remedy="Only keys below 'runtime' may change; start a new run for anything else.",
            )
    document = before.model_dump(mode="json")
    changed = change_run_config(document, {"runtime.engine": engine}, assignments or [])
    return changed.runtime


@contextmanager
def _command(*, as_json: bool, debug: bool) -> Iterator[Callable[[Any, Callable[[Any], None]], None]]:
    """Give the command a way to print its result: as JSON, or by the function that draws it for people.

    With `--json`, whatever anything else writes to standard output goes to standard error.
    """
    global _debug
    _debug = debug
    if not as_json:
        yield lambda value, draw: draw(value)
        return
    sys.stdout.flush()
    real_output = os.dup(1)
    os.dup2(2, 1)
    result: list[Any] = []
    try:
        yield lambda value, draw: result.append(value)
    finally:
        sys.stdout.flush()
        os.dup2(real_output, 1)
        os.close(real_output)
    typer.echo(json.dumps(result[0], indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
