"""`fedforge report`: a run on one page."""

from __future__ import annotations

import typer

from fedforge_runtime.commands.options import DebugOption, HomeOption, JsonOption, RunId
from fedforge_runtime.commands.output import command
from fedforge_runtime.storage.home import Home


def report(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Write a run's report.html anew, one page complete in itself, and print its path; also of an unfinished run."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.reporting.run_report import write_report
        from fedforge_runtime.storage.run_ids import find_run

        path = write_report(find_run(run_id, Home.resolve(home)))
        emit({"run_id": run_id, "report": str(path)}, lambda value: typer.echo(value["report"]))
