"""Runs the command line in a process forked from one that has loaded everything: the same for a third of the work.

For tests of what a command computes and says. Where the subject is how a command's processes start and end
together, or that equal runs in processes that share nothing are equal, `tests.e2e.command` starts it as a user does.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import psutil

from fedforge_runtime.environment import configure_third_parties
from fedforge_runtime.federation.engines import TEMPLATE_MODULES
from fedforge_runtime.processes import die_with_owner, share_template, start_process
from tests.e2e.command import Outcome
from tests.patience import PATIENCE_SECONDS

# What workers have loaded, and what a command's own process and every process of pytest's load besides.
PRELOADED = [
    "fedforge_runtime.preload",
    "fedforge_runtime.commands.app",
    *TEMPLATE_MODULES["superlink"],
    "flwr.serverapp",
    "matplotlib.figure",
    "pytest",
]


class ForkedCommand:
    """A `fedforge` that runs; its workers are forked from where it was."""

    def __init__(self, process: BaseProcess, output: Path, errors: Path, others: set[psutil.Process]) -> None:
        self._process = process
        self._output = output
        self._errors = errors
        self._others = others

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def family(self) -> list[psutil.Process]:
        """It, its workers and whatever they started, those that are alive; also those of a later command."""
        ours = [each for each in _children_of_the_template() if each not in self._others]
        with suppress(psutil.NoSuchProcess):
            ours += psutil.Process(self._process.pid).children(recursive=True)
        return ours

    def workers(self) -> list[psutil.Process]:
        """Its workers that are alive."""
        return [each for each in self.family() if each.pid != self.pid]

    def wait(self, seconds: float = PATIENCE_SECONDS) -> Outcome:
        """How it ended; fails when it has not after `seconds`."""
        self._process.join(seconds)
        errors = self._errors.read_text()
        assert self._process.exitcode is not None, f"no end within {seconds:g} s: {errors}"
        return Outcome(self._process.exitcode, self._output.read_text(), errors)

    def kill_all(self) -> None:
        """kill -9 of it and its workers, at once; returns when it is gone."""
        for each in self.family():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.join()


def forked(*arguments: object) -> Outcome:
    """Run `fedforge` with these arguments to its end."""
    with forked_running(*arguments) as command:
        return command.wait()


def forked_together(*commands: Sequence[object]) -> list[Outcome]:
    """Run several commands at the same time and wait for all of them."""
    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(lambda arguments: forked(*arguments), commands))


class ForkedProcess:
    """A `fedforge` that runs, as `subprocess.Popen` shows one that was started with text pipes."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        _ensure_template()
        self._lock = threading.Lock()
        pipes = [multiprocessing.Pipe(duplex=False) for _ in ("output", "errors")]
        ends = [write for _, write in pipes]
        self._process = start_process(_run, list(arguments), dict(environment), *ends, name="fedforge")
        for end in ends:
            end.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(read.fileno())) for read, _ in pipes)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("fedforge", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextmanager
def forked_running(*arguments: object) -> Iterator[ForkedCommand]:
    """A `fedforge` that runs while the block does; when the block ends early, whatever is left of it is killed."""
    _ensure_template()
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        environment = {**os.environ, "COLUMNS": "200"}
        others = set(_children_of_the_template())
        process = start_process(_run, list(map(str, arguments)), environment, output, errors, name="fedforge")
        command = ForkedCommand(process, output, errors, others)
        try:
            yield command
        finally:
            if process.exitcode is None:
                command.kill_all()


def _ensure_template() -> None:
    configure_third_parties()
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()  # unless this process has had workers, and so a template, already


def _children_of_the_template() -> list[psutil.Process]:
    return psutil.Process(forkserver._forkserver._forkserver_pid).children()


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], output: Path | Connection, errors: Path | Connection
) -> None:
    from fedforge_runtime import cli

    os.setsid()
    die_with_owner()
    share_template()
    forkserver.ensure_running = forkserver._forkserver.ensure_running  # it starts no template of its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    for target, number in ((output, 1), (errors, 2)):
        with target.open("wb") if isinstance(target, Path) else target as opened:
            os.dup2(opened.fileno(), number)
    # The former ones remember what kind of file theirs was.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    sys.modules["__main__"] = ModuleType("__main__")  # so that its workers load nothing of pytest
    sys.argv = ["fedforge", *arguments]
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()
