"""What Python compiles is kept, also where nothing may be written beside the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import subprocess, sys
from fedforge_runtime.processes import environment
environment._LARGEST_PACKAGE = "largest"
environment.keep_compiled_files()
import largest
subprocess.run([sys.executable, "-c", "import other"], check=True)
print(sys.pycache_prefix, sys.dont_write_bytecode)
"""


def start(folder: Path, **environment: str) -> str:
    """What the program says of itself, whose packages lie in the folder."""
    for package in ("largest", "other"):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").write_text("VALUE = 1\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**kept, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def compiled(folder: Path) -> set[str]:
    return {path.parent.name if path.parent.name != "__pycache__" else "beside" for path in folder.rglob("*.pyc")}


def test_they_are_kept_in_a_cache_of_our_own_for_this_process_and_its_children(tmp_path: Path) -> None:
    said = start(tmp_path, PYTHONDONTWRITEBYTECODE="1")

    assert said == f"{tmp_path / 'cache' / 'fedforge' / 'compiled'} False"
    assert {"largest", "other"} <= compiled(tmp_path / "cache")
    assert not list(tmp_path.glob("*/__pycache__"))


@pytest.mark.parametrize("environment", [{}, {"PYTHONDONTWRITEBYTECODE": ""}])
def test_without_the_wish_they_lie_where_they_always_do(environment: dict[str, str], tmp_path: Path) -> None:
    assert start(tmp_path, **environment) == "None False"
    assert list(tmp_path.glob("*/__pycache__"))


def test_packages_that_were_compiled_when_they_were_installed_are_used(tmp_path: Path) -> None:
    start(tmp_path)

    assert start(tmp_path, PYTHONDONTWRITEBYTECODE="1") == "None True"


def test_a_prefix_of_the_users_stays(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"

    assert start(tmp_path, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=str(chosen)) == f"{chosen} True"


def test_where_no_cache_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = start(tmp_path, PYTHONDONTWRITEBYTECODE="1", XDG_CACHE_HOME=str(tmp_path / "file"))

    assert said == "None True"
