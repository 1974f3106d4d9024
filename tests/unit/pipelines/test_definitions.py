"""The graph, jobs, schedule and sensors as Dagster sees them; `python -m` this module writes them down anew."""

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
    """What a change of must be meant: all that Dagster knows of assets, checks, jobs, schedules and sensors."""
    nodes = sorted(defs.resolve_asset_graph().asset_nodes, key=lambda node: node.key)
    repository = defs.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    return {
        "assets": {node.key.to_user_string(): describe_asset(node) for node in nodes},
        "jobs": {
            job.name: {
                "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
                "description": job.description,
                "tags": dict(job.tags),
                "executor": job.executor_def.name,
            }
            for job in jobs
        },
        "schedules": {
            each.name: [each.cron_schedule, each.job_name, str(each.default_status.value)]
            for each in repository.schedule_defs
        },
        "sensors": {
            each.name: [str(each.default_status.value), each.minimum_interval_seconds]
            for each in repository.sensor_defs
        },
        "resources": sorted(repository.get_top_level_resources()),
    }


def describe_asset(node: Any) -> dict[str, Any]:
    """One asset with its step and its checks; what is nothing is left out."""
    step = node.assets_def.op
    described = {
        "group": node.group_name,
        "description": node.description,
        "after": sorted(each.to_user_string() for each in node.parent_keys),
        "inputs": {each.name: each.dagster_type.display_name for each in step.input_defs},
        "output": [step.output_defs[0].dagster_type.display_name, step.output_defs[0].io_manager_key],
        "kinds": sorted(node.kinds),
        "tags": {name: value for name, value in node.tags.items() if not name.startswith("dagster/kind/")},
        "owners": list(node.owners),
        "code_version": node.code_version,
        "metadata": dict(node.metadata),
        "resources": sorted(node.assets_def.required_resource_keys),
        "pools": sorted(node.pools or ()),
        "step_tags": dict(step.tags),
        "retry_policy": step.retry_policy and repr(step.retry_policy),
        "automation": node.automation_condition and repr(node.automation_condition),
        "partitions": node.partitions_def and repr(node.partitions_def),
        "checks": {
            f"{check.name}{' (blocking)' if check.blocking else ''}": check.description
            for check in sorted(node.assets_def.check_specs, key=lambda check: check.name)
        },
    }
    return {name: value for name, value in described.items() if value}


def test_the_definitions_are_those_that_are_written_down() -> None:
    assert describe() == json.loads(SNAPSHOT.read_text()), (
        "mean it? python -m tests.unit.pipelines.test_definitions writes it anew"
    )


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
