"""Runs the command line as a user does, in a process of its own, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fedforge_runtime.telemetry.emitter import EventLogReader
from monitor.schema import ClientTrainCompleted, ClientTrainStarted, Event
from tests.support.patience import PATIENCE_SECONDS

SCRIPT = Path(sys.executable).with_name("fedforge")
"""What a user starts."""
TREE = Path(__file__).parents[2]
"""Whose packages it loads, wherever it is installed from."""
BARE = ("--no-bounds", "--no-report")
"""Options of `run` and `resume` where the subject is the model."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        value: dict[str, Any] = json.loads(self.output)
        return value

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.errors.splitlines() if line.startswith("error:")]


def refusal(outcome: Outcome) -> str:
    """The one line that says why a command was refused; fails unless it is the last word and the only one."""
    assert outcome.code not in (0, 70), outcome
    assert outcome.output == ""
    assert "Traceback" not in outcome.errors
    lines = outcome.errors.strip().splitlines()
    assert outcome.error_lines == lines[-1:], outcome.errors
    return lines[-1]


def fedforge(*arguments: object, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run `fedforge` with these arguments to its end."""
    with running(*arguments, environment=environment) as process:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return Outcome(process.returncode, output, errors)


@contextmanager
def running(*arguments: object, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A `fedforge` that runs while the block does; whatever is left of it is killed."""
    process = subprocess.Popen(
        [str(SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(TREE), **(environment or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def processes_of(pid: int) -> list[psutil.Process]:
    """A process and all its descendants that are alive."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    return [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def template_of(pid: int) -> psutil.Process:
    """The process that a command's workers are forked from, once it is there."""
    return wait_for_child(pid, "multiprocessing.forkserver")


def wait_for_child(pid: int, word: str) -> psutil.Process:
    """The living child of a process that has this word in its command line, once it is there."""

    def found() -> psutil.Process | None:
        for each in psutil.Process(pid).children():
            with suppress(psutil.Error):
                if any(word in part for part in each.cmdline()) and each.status() != psutil.STATUS_ZOMBIE:
                    return each
        return None

    child: psutil.Process = wait_until(found, f"a child of {pid} with {word}")
    return child


def kill_tree(pid: int) -> None:
    """kill -9 of a process and all its descendants, at once."""
    for process in processes_of(pid):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition`, asked again and again for a tenth of the time; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while (asked_at := time.monotonic()) < deadline:
        value = condition()
        if value:
            return value
        time.sleep(max(0.005, 9 * (time.monotonic() - asked_at)))
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


def wait_for_event(log: Path, wanted: Callable[[Event], bool], what: str) -> Event:
    """The first event of a run's log that is `wanted`."""
    reader = EventLogReader(log)
    event: Event = wait_until(lambda: next(filter(wanted, reader.read_new()), None), what)
    return event


def hold_training(log: Path, round_number: int) -> tuple[psutil.Process, int]:
    """Wait until a client trains in a round and stop its worker there; the worker and the client.

    A client that was done before its worker stopped is let go, and another one is waited for.
    """
    reader = EventLogReader(log)
    training: dict[str, psutil.Process] = {}

    def read() -> None:
        for event in reader.read_new():
            if event.round != round_number:
                assert event.round < round_number, f"round {round_number} was over before anybody was held in it"
            elif isinstance(event, ClientTrainStarted):
                training[event.node_id] = psutil.Process(int(event.emitter_id.split("-")[1]))
            elif isinstance(event, ClientTrainCompleted):
                training.pop(event.node_id)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:  # at once, and not at leisure as `wait_until`: training takes a moment
        read()
        for name, worker in list(training.items()):
            worker.suspend()
            read()
            if name in training:
                return worker, int(name.removeprefix("client-"))
            worker.resume()
        time.sleep(0.002)
    raise AssertionError(f"nobody trained in round {round_number} within {PATIENCE_SECONDS:g} s")


def tree_of(folder: Path) -> dict[str, int]:
    """Every file and folder below `folder`, with sizes."""
    return {str(path.relative_to(folder)): path.lstat().st_size for path in sorted(folder.rglob("*"))}
