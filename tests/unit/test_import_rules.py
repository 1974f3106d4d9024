"""Which package may know which: the direction of knowledge in the architecture, held by the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import fedforge_runtime
import monitor

RUNTIME = Path(fedforge_runtime.__file__).parent
MONITOR = Path(monitor.__file__).parent
HEAVY = {"torch", "transformers", "datasets", "torchvision", "medmnist", "sklearn", "pandas", "evaluate", "accelerate"}


def files_of(package: Path) -> list[Path]:
    files = sorted(package.rglob("*.py"))
    assert files
    return files


def imported_modules(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at its top or within functions."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, which this test cannot follow"
            assert node.module
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            modules |= {ast.literal_eval(value) for value in node.args[:1] if isinstance(value, ast.Constant)}
    return modules


def packages(modules: Iterable[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after `statement`."""
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", files_of(RUNTIME), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_the_runtime_knows_neither_dagster_nor_web_frameworks_nor_pipelines(path: Path) -> None:
    assert packages(imported_modules(path)).isdisjoint({"dagster", "fastapi", "fedforge_pipelines"})


@pytest.mark.parametrize("path", files_of(RUNTIME), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_the_runtime_knows_of_the_monitor_its_schema_alone(path: Path) -> None:
    of_monitor = {module for module in imported_modules(path) if packages([module]) == {"monitor"}}

    assert all(module.split(".")[:2] == ["monitor", "schema"] for module in of_monitor)


@pytest.mark.parametrize("path", files_of(MONITOR), ids=lambda path: str(path.relative_to(MONITOR)))
def test_the_monitor_knows_no_learning_no_flower_and_no_pipelines(path: Path) -> None:
    forbidden = {"torch", "transformers", "flwr", "dagster", "fedforge_runtime", "fedforge_pipelines"}

    assert packages(imported_modules(path)).isdisjoint(forbidden)


def test_the_schema_needs_the_standard_library_and_pydantic_alone() -> None:
    assert packages(imported_modules(MONITOR / "schema.py")) <= sys.stdlib_module_names | {"pydantic"}


def test_the_schema_can_be_loaded_without_the_rest_of_the_monitor() -> None:
    assert loaded_by("import monitor.schema").isdisjoint(HEAVY | {"flwr", "fastapi", "sqlmodel", "fedforge_runtime"})


def test_the_command_line_starts_without_what_is_heavy() -> None:
    assert loaded_by("import fedforge_runtime.cli, fedforge_runtime.commands.app").isdisjoint(HEAVY | {"flwr", "ray"})


@pytest.mark.parametrize(
    "module",
    [
        "fedforge_runtime.federation.server_app",
        "fedforge_runtime.federation.run",
        "fedforge_runtime.federation.engines.inprocess",
    ],
)
def test_the_servers_process_needs_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_the_client_app_is_loaded_by_engines_without_what_is_heavy() -> None:
    assert loaded_by("import fedforge_runtime.federation.client_app").isdisjoint(HEAVY)


def test_no_file_reads_or_writes_pickles() -> None:
    for path in [*files_of(RUNTIME), *files_of(MONITOR)]:
        assert packages(imported_modules(path)).isdisjoint({"pickle", "cloudpickle", "dill", "joblib", "shelve"}), path
