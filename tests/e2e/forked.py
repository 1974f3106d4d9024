"""Runs the command line in a process forked from one that has loaded everything: the same in a quarter of the time.

For tests of what a command computes and says. Where the subject is how its processes start and end, or that two of
them have nothing in common but their configuration, `tests.e2e.command` starts it as a user does.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType

from fedforge_runtime.environment import configure_third_parties
from fedforge_runtime.processes import die_with_owner, share_template, start_process
from tests.e2e.command import LIMIT_SECONDS, Outcome

# What workers have loaded, and what a command's own process and pytest's own import load besides.
PRELOADED = ["fedforge_runtime.preload", "fedforge_runtime.cli", "flwr.serverapp", "matplotlib.figure", "pytest"]


def forked(*arguments: object) -> Outcome:
    """Run `fedforge` with these arguments to its end."""
    configure_third_parties()
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()  # unless this process has had workers, and so a template, already
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        environment = {**os.environ, "COLUMNS": "200"}
        process = start_process(_run, list(map(str, arguments)), environment, output, errors, name="fedforge")
        process.join(LIMIT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"{arguments} did not end within {LIMIT_SECONDS:g} s: {errors.read_text()}")
        return Outcome(process.exitcode, output.read_text(), errors.read_text())


def forked_together(*commands: Sequence[object]) -> list[Outcome]:
    """Run several commands at the same time and wait for all of them."""
    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(lambda arguments: forked(*arguments), commands))


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path) -> None:
    from fedforge_runtime import cli

    os.setsid()
    die_with_owner()
    share_template()
    forkserver.ensure_running = forkserver._forkserver.ensure_running  # the command starts no template of its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    for path, stream in ((output, sys.stdout), (errors, sys.stderr)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.modules["__main__"] = ModuleType("__main__")  # so that its workers load nothing of pytest
    sys.argv = ["fedforge", *arguments]
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()
