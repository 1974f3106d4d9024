"""The ServerApp of `flwr run`: a run as `fedforge run` makes one, over the nodes that Flower gives it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedforge_runtime.config import RunConfig, load_run_config
from fedforge_runtime.data.partition import parse_partition
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import control_client_at
from fedforge_runtime.engines.superlink.site_keys import registrations
from fedforge_runtime.federation.packing import PackingGrid
from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.flower import protocol
from fedforge_runtime.processes.environment import configure_third_parties
from fedforge_runtime.storage.home import Home

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Prepare, run and report in the home of this process: `FEDFORGE_HOME`, or `.fedforge` where it was started."""
    from fedforge_runtime.commands.console import ConsoleNarrator
    from fedforge_runtime.commands.request import whole_request
    from fedforge_runtime.runs.finish import Evidence
    from fedforge_runtime.runs.run import start_run
    from fedforge_runtime.storage.run_ids import new_run_id

    configure_third_parties()
    config = flower_run_config(context.run_config)
    folder = start_run(
        config,
        home=Home.resolve(None),
        run_id=str(context.run_config["run-id"]) or new_run_id(config.phase),
        request=whole_request(config, profile=str(context.run_config["profile"])),
        narrator=ConsoleNarrator(),
        engine=GivenGridEngine(grid),
        evidence=Evidence(),
    )
    sys.stdout.write(f"run {folder.run_id}: {folder.path}\n")


def flower_run_config(values: Mapping[str, Any]) -> RunConfig:
    """A run's configuration from Flower's: the keys of `flower_app/pyproject.toml`.

    `set` holds further settings, separated by semicolons: `set="learning.epochs=2;federation.warm_start=closed_form"`.

    Raises:
        ConfigError: a value that a run cannot have.
    """
    partition, parameters = parse_partition(str(values["partition"]))
    options = {
        "dataset.source": values["data"],
        "dataset.limit": values["limit"] or None,
        "backbone.name": values["backbone"],
        "partition.clients": values["clients"],
        "partition.name": partition,
        "partition.parameters": parameters,
        "federation.rounds": values["rounds"],
        "federation.strategy": {"name": values["strategy"], "parameters": {}},
        "seed": values["seed"],
        "runtime.engine": GivenGridEngine.name,
    }
    assignments = [text for text in str(values["set"]).split(";") if text.strip()]
    return load_run_config(
        str(values["phase"]), profile=str(values["profile"]), options=options, assignments=assignments
    )


class GivenGridEngine:
    """A federation that somebody else started, whose ServerApp this process is."""

    name = "superlink"
    holds_shards = True

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def run(self, federation: Federation) -> None:
        federation.server_app(
            grid=PackingGrid(self._grid, self._registrations),
            context=Context(
                run_id=self._grid.run.run_id,
                node_id=0,
                node_config={},
                state=RecordDict(),
                run_config=federation.whole_config,
            ),
        )

    def _registrations(self) -> Mapping[int, Registration]:
        address, insecure, root_certificates = protocol.superlink_of(self._grid)
        with control_client_at(address, insecure, root_certificates) as control:
            return registrations(control.ListNodes(protocol.ListNodesRequest()).nodes_info, secured=not insecure)
