"""The graph, jobs, schedule and sensors as Dagster sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines.definitions import defs
from fedforge_pipelines.phases import PHASES

SNAPSHOT = Path(__file__).parent / "definitions.json"
HEAVY = {"torch", "transformers", "flwr", "datasets", "matplotlib", "sklearn"}


def describe() -> dict[str, Any]:
    """What a change of must be meant: keys, lineage, checks, jobs, schedules and sensors."""
    graph = defs.resolve_asset_graph()
    checks: dict[str, list[str]] = {}
    for key in graph.asset_check_keys:
        blocking = " (blocking)" if graph.get_check_spec(key).blocking else ""
        checks.setdefault(key.asset_key.to_user_string(), []).append(f"{key.name}{blocking}")
    repository = defs.get_repository_def()
    return {
        "assets": {
            node.key.to_user_string(): {
                "group": node.group_name,
                "after": sorted(each.to_user_string() for each in node.parent_keys),
                "checks": sorted(checks.get(node.key.to_user_string(), [])),
                "pools": sorted(node.pools or ()),
            }
            for node in sorted(graph.asset_nodes, key=lambda node: node.key)
        },
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "schedules": {each.name: [each.cron_schedule, each.job_name] for each in repository.schedule_defs},
        "sensors": {each.name: str(each.default_status.value) for each in repository.sensor_defs},
    }


def test_the_definitions_are_those_that_are_written_down() -> None:
    assert describe() == json.loads(SNAPSHOT.read_text()), f"mean it? python {Path(__file__).name} writes it anew"


def test_they_can_be_loaded_whole() -> None:
    dg.Definitions.validate_loadable(defs)


def test_a_phase_waits_for_the_accepted_model_of_the_one_before() -> None:
    graph = defs.resolve_asset_graph()
    for phase in PHASES:
        accepted = {dg.AssetKey([phase.after, "global_model"])} if phase.after else set()
        for asset in ("features", "federated_run"):
            parents = graph.get(dg.AssetKey([phase.name, asset])).parent_keys

            assert {key for key in parents if key.path[-1] == "global_model"} == accepted


def test_loading_them_loads_nothing_heavy() -> None:
    code = (
        "import sys; import fedforge_pipelines.definitions; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()).isdisjoint(HEAVY)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe(), indent=2) + "\n")
