"""The product as a user starts it: `fedforge` in a process of its own, and what that process leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.subject import REPOSITORY
from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.emitter import read_events
from monitor.schema import Event

WATCH_SECONDS = 0.05
_ERROR_CHARACTERS = 2000


class CommandFailedError(Exception):
    """A command that a measurement needs ended with an error."""


@dataclass(frozen=True)
class FinishedRun:
    """One `fedforge run`."""

    folder: RunFolder
    summary: dict[str, Any]
    events: list[Event]
    launched: datetime
    """Just before its process was made."""
    seconds: float
    """From there to its end."""

    def model_after(self, rounds: int) -> str:
        """The hash of the global model."""
        return str(self.summary["rounds"][rounds - 1]["model_sha256"])


def fedforge(
    *arguments: str, home: Home, show_progress: bool = False, watch: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """The JSON that a command prints.

    Args:
        show_progress: let the command draw its progress.
        watch: called with the command's process id every `WATCH_SECONDS` until it ends.

    Raises:
        CommandFailedError: it ended with an error; the message is what it wrote.
    """
    command = [sys.executable, "-m", "fedforge_runtime.cli", *arguments, "--home", str(home.root), "--json"]
    return run_json(command, show_progress=show_progress, watch=watch)


def run_json(
    command: Sequence[str], *, show_progress: bool = False, watch: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """The JSON that any command prints; see `fedforge`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdout=output, stderr=None if show_progress else errors, stdin=subprocess.DEVNULL, cwd=REPOSITORY
        )
        try:
            while watch and process.poll() is None:
                due = monotonic() + WATCH_SECONDS
                watch(process.pid)
                time.sleep(max(due - monotonic(), 0.0))
            code = process.wait()
        finally:
            process.terminate()
            process.wait()
        output.seek(0)
        if code:
            errors.seek(0)
            written = errors.read().decode(errors="replace")[-_ERROR_CHARACTERS:].strip()
            raise CommandFailedError(f"{' '.join(command[1:4])} … ended with {code}. {written}")
        document: dict[str, Any] = json.loads(output.read())
        return document


def run_federation(*options: str, home: Home, watch: Callable[[int], None] | None = None) -> FinishedRun:
    """`fedforge run blood` with `options`, from its launch to its end."""
    launched, started = utc_now(), monotonic()
    summary = fedforge("run", "blood", "--no-bounds", *options, home=home, watch=watch)
    seconds = monotonic() - started
    folder = RunFolder(Path(summary["artifacts"]["run"]))
    return FinishedRun(folder, summary, read_events(folder.events), launched, seconds)
