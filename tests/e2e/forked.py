"""Runs the command line in a process forked from one that has loaded everything: the same for a third of the work.

For tests of what a command computes and says. Where the subject is how a command's processes start and end
together, or that equal runs in processes that share nothing are equal, `tests.e2e.command` starts it as a user does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from fedforge_runtime.engines import TEMPLATE_MODULES
from fedforge_runtime.processes import TEMPLATE, die_with_owner, share_template
from fedforge_runtime.processes.environment import configure_third_parties
from tests.e2e.command import Outcome
from tests.support.forked_process import ForkedProcess, Output, become
from tests.support.patience import PATIENCE_SECONDS

# What workers have loaded, and what a command's own process and every process of pytest's load besides.
# `preload` comes last: what is there by then is not searched for garbage, which a worker does each time it trains.
PRELOADED = [
    "fedforge_runtime.commands.app",
    "fedforge_runtime.commands.request",
    "fedforge_runtime.engines.superlink.engine",
    "fedforge_runtime.runs.run",
    "fedforge_runtime.federation.server_app",
    "flwr.cli.build",
    "fedforge_runtime.reporting.run_report",
    "fedforge_runtime.commands.tables",
    *TEMPLATE_MODULES["superlink"],
    "flwr_datasets.partitioner",
    "matplotlib.backends.backend_svg",
    "pytest",
    "fedforge_runtime.engines.preload",
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


def forked_process(arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
    """A `fedforge` that runs; what it says is read from its pipes."""
    _ensure_template()
    return ForkedProcess(
        lambda output, errors: TEMPLATE.start_process(
            _run, list(arguments), dict(environment), output, errors, name="fedforge"
        ),
        own_errors=True,
    )


@contextmanager
def forked_running(*arguments: object) -> Iterator[ForkedCommand]:
    """A `fedforge` that runs while the block does; when the block ends early, whatever is left of it is killed."""
    _ensure_template()
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        environment = {**os.environ, "COLUMNS": "200"}
        others = set(_children_of_the_template())
        process = TEMPLATE.start_process(_run, list(map(str, arguments)), environment, output, errors, name="fedforge")
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


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: Output, errors: Output) -> None:
    from fedforge_runtime import cli

    os.setsid()
    die_with_owner()
    share_template()
    forkserver.ensure_running = forkserver._forkserver.ensure_running  # it starts no template of its own
    with become(["fedforge", *arguments], environment, output, errors):
        cli.main()
