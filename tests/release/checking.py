"""Runs what a gate is shown by, keeps what was said, and finds the figures in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "benchmarks" / "results" / "release-check"
FEDFORGE = ROOT / ".venv" / "bin" / "fedforge"
_MOST_LINES = 5
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class GateError(Exception):
    """A gate is not passed."""


class NotHereError(Exception):
    """This machine lacks what the gate needs."""


@dataclass(frozen=True)
class Row:
    """What one gate is shown by.

    Args:
        command: what a reader would type to see it.
        check: gives the measured result in words.
    """

    gate: str
    subject: str
    command: str
    check: Callable[[], str]


@dataclass(frozen=True)
class Result:
    """What came of a row: `green`, `red` or `not run here`."""

    row: Row
    outcome: str
    seconds: float
    shown: str


def try_row(row: Row) -> Result:
    """Run what shows it."""
    began = time.monotonic()
    try:
        outcome, shown = "green", row.check()
    except NotHereError as error:
        outcome, shown = "not run here", str(error)
    except GateError as error:
        outcome, shown = "red", str(error)
    except Exception as error:  # a fault of the check itself is no pass either
        outcome, shown = "red", f"{type(error).__name__}: {error}"
    return Result(row, outcome, time.monotonic() - began, shown)


def require(holds: bool, what: str) -> None:
    if not holds:
        raise GateError(what)


def run(
    name: str, *words: object, folder: Path = ROOT, environment: Mapping[str, str] | None = None, output: bool = False
) -> str:
    """Run a command and give what it said, which is kept in a log of this name too.

    Args:
        output: give its standard output alone.

    Raises:
        GateError: it ended with another code than 0; with what it says has failed, else its last line.
    """
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    said = _ESCAPES.sub("", f"{done.stdout}\n{done.stderr}")
    with LOGS.joinpath(f"{name}.log").open("a") as log:
        log.write(f"$ {' '.join(map(str, words))}\n{said}\nended with {done.returncode}\n")
    if done.returncode != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("FAILED ", "ERROR ", "error: "))] or lines[-1:]
        raise GateError(
            f"{' '.join(map(str, words))} ended with {done.returncode}: {'; '.join(telling[-_MOST_LINES:])}"
        )
    return done.stdout if output else said


def found(pattern: str, said: str) -> str:
    """The last match in what a command said.

    Raises:
        GateError: there is none, so that nothing was shown.
    """
    matches = [match[0] for match in re.finditer(pattern, said)]
    require(bool(matches), f"there is no {pattern!r} in what the command said")
    return matches[-1]


def fedforge(name: str, *words: object, home: Path) -> dict[str, Any]:
    """The object that a `fedforge … --json` has printed."""
    said = run(name, FEDFORGE, *words, "--home", home, "--json", output=True)
    value: dict[str, Any] = json.loads(said)
    return value
