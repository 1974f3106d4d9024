"""How the packages are laid out, as far as neither ruff nor the contracts of `lint-imports` can say it."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "fedforge_runtime"
LOOSE = {"__init__", "cli", "clock", "progress", "seeds", "wording"}
"""What belongs to no room of the runtime."""
MOST_FILES = 14
MOST_LINES = 60


def test_every_module_of_the_runtime_but_a_few_has_a_room() -> None:
    assert {file.stem for file in RUNTIME.glob("*.py")} == LOOSE


def test_a_room_can_be_overlooked() -> None:
    folders = [folder for folder in RUNTIME.rglob("*") if folder.is_dir() and folder != RUNTIME / "commands"]
    files = {folder: len(list(folder.glob("*.py"))) for folder in folders}

    assert {folder: number for folder, number in files.items() if number > MOST_FILES} == {}


@pytest.mark.parametrize("package", ["fedforge_pipelines", "fedforge_runtime", "monitor"])
def test_a_function_fits_on_a_screen(package: str) -> None:
    lines = {
        f"{file.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in (ROOT / package).rglob("*.py")
        if "migrations" not in file.parts  # written once, in the order of the tables
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: number for name, number in lines.items() if number > MOST_LINES} == {}


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_rooms_of_the_document_are_those_of_the_contract_in_their_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    (table,) = re.findall(r"\| room \| has \|\n\|---\|---\|\n((?:\|.*\n)+)", ARCHITECTURE)
    first_cells = [row.split("|")[1] for row in table.splitlines()]

    assert [re.findall(r"`(\w+)/?`", cell) for cell in first_cells] == [layer.split(" | ") for layer in layers]


def test_every_file_that_the_document_names_is_there() -> None:
    named = set(re.findall(r"`([\w/.-]+\.(?:py|ts|json|jsonl|toml))`", ARCHITECTURE)) - {"events.jsonl"}
    places = [ROOT, RUNTIME, ROOT / "monitor", ROOT / "fedforge_pipelines"]

    assert len(named) > 40
    absent = {name for name in named if not any((place / name).is_file() for place in places)}
    assert absent == {"engines/NAME.py"}
