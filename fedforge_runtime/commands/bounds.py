"""`fedforge bounds`: what a run's scores lie between."""

from __future__ import annotations

from fedforge_runtime.commands.options import DebugOption, HomeOption, JsonOption, RunId
from fedforge_runtime.commands.output import command
from fedforge_runtime.storage.home import Home


def bounds(run_id: RunId, home: HomeOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Train each site alone and all rows in one place, on the run's budget, to compare the run with.

    This pools the rows of all sites: it is for simulations, where they are on this machine.
    """
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator, print_bounds
        from fedforge_runtime.runs.bounds import record_bounds
        from fedforge_runtime.storage.run_ids import find_run

        chosen = Home.resolve(home)
        narrator = ConsoleNarrator()
        emit(record_bounds(find_run(run_id, chosen), home=chosen, narrator=narrator), print_bounds)
