"""What is loaded when a process starts. Who may import whom is said in pyproject.toml and checked by `make lint`."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"torch", "transformers", "datasets", "torchvision", "medmnist", "sklearn", "pandas", "evaluate", "accelerate"}
SERVERS = {"alembic", "fastapi", "sqlalchemy", "uvicorn"}
"""What a SuperLink and a monitor are made of: half of the start of a run that needs neither."""
STEPS = {
    "monitor.schema": HEAVY | {"flwr", "ray", "fastapi", "sqlmodel", "fedforge_runtime"},
    "fedforge_runtime.cli": HEAVY | {"flwr", "ray"},
    "fedforge_runtime.commands.app": HEAVY | {"flwr", "ray"},
    "monitor.__main__": HEAVY | {"flwr", "ray", "dagster", "fedforge_pipelines"},
    "fedforge_pipelines.definitions": HEAVY | {"flwr", "ray"},
    "fedforge_runtime.federation.client_app": HEAVY | {"ray"},
    "fedforge_runtime.runs.run": HEAVY | {"ray"},
    "fedforge_runtime.federation.server_app": HEAVY | {"ray"},
    "fedforge_runtime.engines.inprocess": HEAVY | {"ray"},
    "fedforge_runtime.engines.superlink.engine": HEAVY | {"ray"},
}
"""Modules in an order in which each loads what the ones before did not, and what must not be there then."""


def test_the_command_line_the_servers_process_and_the_definitions_load_nothing_heavy() -> None:
    code = (
        "import importlib, json, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(module)\n"
        "    print(json.dumps([module, sorted({name.partition('.')[0] for name in sys.modules})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *STEPS], capture_output=True, text=True, check=True)

    loaded = {module: set(packages) for module, packages in map(json.loads, done.stdout.splitlines())}
    assert loaded.keys() == STEPS.keys()
    too_much = {module: loaded[module] & forbidden for module, forbidden in STEPS.items()}
    assert {module: packages for module, packages in too_much.items() if packages} == {}


def test_a_run_on_this_machine_loads_nothing_of_a_superlink() -> None:
    code = "import json, sys, fedforge_runtime.runs.run; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert SERVERS.isdisjoint(json.loads(done.stdout))
