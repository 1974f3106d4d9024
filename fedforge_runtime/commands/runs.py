"""`fedforge run`, `demo`, `resume`, `runs`, `show`, `report`, `bounds`, `export`, and `fedforge baseline`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fedforge_runtime.commands.operation import give, is_live
from fedforge_runtime.commands.options import (
    BoundsOption,
    ConfigurationOptions,
    DebugOption,
    HomeOption,
    JsonOption,
    MonitorOption,
    ParticipantsOption,
    Phase,
    PlaceOptions,
    ReportOption,
    RunId,
    RunIdOption,
    SetOption,
    TrainingOptions,
)
from fedforge_runtime.commands.output import command
from fedforge_runtime.config import RunConfig, RuntimeConfig, change_run_config, load_run_config, read_run_config
from fedforge_runtime.errors import ConfigError, RunError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import require_unused_folder
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import find_run, list_runs, new_run_id

baselines = typer.Typer(help="Results that later runs are held against.", no_args_is_help=True)

BaselinesOption = Annotated[
    Path | None,
    typer.Option("--baselines", metavar="DIR", help="where baselines are; default $FEDFORGE_BASELINES or ./baselines"),
]


def run(
    phase: Phase,
    options: ConfigurationOptions,
    place: PlaceOptions,
    training: TrainingOptions,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    participants: ParticipantsOption = None,
    bounds: BoundsOption = True,
    report: ReportOption = True,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a federated model and write its run folder."""
    training.refuse_both(options.partition)
    run_config = options.run_config(phase, {**place.keys(), **training.keys()}, strategy=training.strategy)
    _start(run_config, home, options.profile, run_id, participants, bounds, report, as_json)


def demo(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """A small blood run that works anywhere: real images and weights where there is a network, else stand-ins."""
    run_config = load_run_config(
        "blood",
        profile="tuned",
        options={
            "dataset.source": "auto",
            "dataset.limit": 600,
            "backbone.name": "auto:facebook/deit-tiny-patch16-224",
            "partition.clients": 3,
            "federation.rounds": 3,
        },
    )
    _start(run_config, home, "tuned", None, None, True, True, as_json)


def resume(
    run_id: RunId,
    place: PlaceOptions,
    home: HomeOption = None,
    assignments: SetOption = None,
    bounds: BoundsOption = True,
    report: ReportOption = True,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Go on with a run that was stopped, failed or killed, from its last checkpoint; same model as undisturbed.

    With --monitor a run that is paused goes on where it is, and one whose folder is elsewhere is asked for there.
    Only where it runs may change: --engine, --superlink, --monitor, --set runtime.KEY=VALUE.
    """
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_run
        from fedforge_runtime.record.summary import summarise_run
        from fedforge_runtime.runs.finish import Evidence
        from fedforge_runtime.runs.run import resume_run

        chosen = Home.resolve(home)
        if place.monitor and (is_live(run_id, place.monitor) or not chosen.run(run_id).exists()):
            given = give(run_id, "resume", place.monitor)
            emit(given, lambda value: typer.echo(f"resume asked for, {value['command_id']}"))
            return
        runtime = _resumed_runtime(read_run_config(find_run(run_id, chosen).config), place.keys(), assignments)
        evidence = Evidence(bounds=bounds, report=report)
        folder = resume_run(run_id, home=chosen, narrator=ConsoleNarrator(), runtime=runtime, evidence=evidence)
        emit(summarise_run(folder), print_run)


def runs(home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the runs of a home, oldest first."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_runs
        from fedforge_runtime.record.summary import summarise_run

        summaries, narrator = [], ConsoleNarrator()
        for folder in list_runs(Home.resolve(home)):
            try:
                summaries.append(summarise_run(folder))
            except ConfigError as error:
                narrator.notice(f"The run {folder.run_id} is left out: {error}")
        emit({"runs": summaries}, lambda value: print_runs(value["runs"]))


def show(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Rounds, clients, scores and paths of one run."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import print_run
        from fedforge_runtime.record.summary import summarise_run

        emit(summarise_run(find_run(run_id, Home.resolve(home))), print_run)


def report(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Write a run's report.html anew, one page complete in itself, and print its path; also of an unfinished run."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.reporting.run_report import write_report

        path = write_report(find_run(run_id, Home.resolve(home)))
        emit({"run_id": run_id, "report": str(path)}, lambda value: typer.echo(value["report"]))


def bounds(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Train each site alone and all rows in one place, on the run's budget, to compare the run with.

    This pools the rows of all sites: it is for simulations, where they are on this machine.
    """
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_bounds
        from fedforge_runtime.runs.bounds import record_bounds

        chosen = Home.resolve(home)
        emit(record_bounds(find_run(run_id, chosen), home=chosen, narrator=ConsoleNarrator()), print_bounds)


def export(
    run_id: RunId,
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Copy a completed run's model to DIR, in Hugging Face's format."""
    with command(as_json=as_json) as emit:
        source = find_run(run_id, Home.resolve(home))
        if not source.metrics.exists():
            raise RunError(f"the run {run_id!r} has no model yet.", remedy=f"Finish it with: fedforge resume {run_id}")
        require_unused_folder(folder, remedy="Choose another DIR.")
        try:
            shutil.copytree(source.model, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        except OSError as error:
            raise explain(error, folder) from error
        emit({"run_id": run_id, "model": str(folder)}, lambda value: typer.echo(value["model"]))


def _start(
    config: RunConfig,
    home: Path | None,
    profile: str,
    run_id: str | None,
    participants: Path | None,
    bounds: bool,
    report: bool,
    as_json: bool,
) -> None:
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_run
        from fedforge_runtime.commands.request import whole_request
        from fedforge_runtime.record.summary import summarise_run
        from fedforge_runtime.runs.finish import Evidence
        from fedforge_runtime.runs.run import start_run

        folder = start_run(
            config,
            home=Home.resolve(home),
            run_id=run_id or new_run_id(config.phase),
            request=whole_request(config, profile=profile),
            narrator=ConsoleNarrator(),
            participants_file=participants,
            evidence=Evidence(bounds=bounds, report=report),
        )
        emit(summarise_run(folder), print_run)


def _resumed_runtime(before: RunConfig, where: dict[str, str | None], assignments: list[str] | None) -> RuntimeConfig:
    """The runtime section for a resumed attempt; every other key is the run's own and stays."""
    for assignment in assignments or []:
        if not assignment.startswith("runtime."):
            raise ConfigError(
                f"--set {assignment}: a resumed run keeps its configuration.",
                remedy="Only keys below 'runtime' may change; start a new run for anything else.",
            )
    document = before.model_dump(mode="json")
    if where["runtime.engine"]:  # with another engine, or another federation, the former's address goes
        document["runtime"] |= {"superlink": None, "root_certificates": None, "handover": None}
    return change_run_config(document, where, assignments or []).runtime


@baselines.command()
def accept(
    run_id: RunId,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="by how much a later run's metrics may be lower")
    ] = 0.02,
    monitor: MonitorOption = None,
    home: HomeOption = None,
    baselines: BaselinesOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a completed run the baseline for its phase and data."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator
        from fedforge_runtime.runs import baseline
        from fedforge_runtime.runs.phase_report import accepted_report, tell_phase

        folder, chosen = find_run(run_id, Home.resolve(home)), baseline.baselines_folder(baselines)
        former = baseline.accepted_scores(folder, chosen)
        file = baseline.accept(folder, chosen, tolerance=tolerance)
        report = accepted_report(folder, source="baseline", baseline=former)
        tell_phase(monitor, read_run_config(folder.config).phase, report, ConsoleNarrator().notice)
        emit({"run_id": run_id, "baseline": str(file)}, lambda value: typer.echo(value["baseline"]))


@baselines.command()
def compare(
    run_id: RunId,
    home: HomeOption = None,
    baselines: BaselinesOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Hold a completed run against the baseline for its phase and data; exits with 1 when it is worse."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.runs import baseline

        verdict = baseline.compare(find_run(run_id, Home.resolve(home)), baseline.baselines_folder(baselines))
        emit(
            {
                "run_id": run_id,
                "baseline": str(verdict.baseline) if verdict.baseline else None,
                "passed": verdict.passed,
                "explanation": verdict.explain(),
                "tolerance": verdict.tolerance,
                "regressions": [asdict(each) for each in verdict.regressions],
                "differences": [asdict(each) for each in verdict.differences],
            },
            _print_comparison,
        )
    if not verdict.passed:
        raise RunError(verdict.explain())


def _print_comparison(document: dict[str, Any]) -> None:
    if document["passed"]:
        typer.echo(document["explanation"])
    for each in document["differences"]:
        typer.echo(f"{each['subject']}: {each['baseline']} -> {each['run']}")
