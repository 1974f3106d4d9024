"""`fedforge baseline`: accept a run as what later ones are held against, and compare one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fedforge_runtime.commands.options import DebugOption, HomeOption, JsonOption, MonitorOption, RunId
from fedforge_runtime.commands.output import command
from fedforge_runtime.errors import RunError
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import find_run

app = typer.Typer(help="Results that later runs are held against.", no_args_is_help=True)

BaselinesOption = Annotated[
    Path | None,
    typer.Option("--baselines", metavar="DIR", help="where baselines are; default $FEDFORGE_BASELINES or ./baselines"),
]


@app.command()
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
        from fedforge_runtime.config import read_run_config
        from fedforge_runtime.runs import baseline
        from fedforge_runtime.runs.phase_report import accepted_report, tell_phase

        folder, chosen = find_run(run_id, Home.resolve(home)), baseline.baselines_folder(baselines)
        former = baseline.accepted_scores(folder, chosen)
        file = baseline.accept(folder, chosen, tolerance=tolerance)
        report = accepted_report(folder, source="baseline", baseline=former)
        tell_phase(monitor, read_run_config(folder.config).phase, report, ConsoleNarrator().notice)
        emit({"run_id": run_id, "baseline": str(file)}, lambda value: typer.echo(value["baseline"]))


@app.command()
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
            _print,
        )
    if not verdict.passed:
        raise RunError(verdict.explain())


def _print(document: dict[str, Any]) -> None:
    if document["passed"]:
        typer.echo(document["explanation"])
    for each in document["differences"]:
        typer.echo(f"{each['subject']}: {each['baseline']} -> {each['run']}")
