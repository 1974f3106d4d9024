"""A process that computes gets on, however slowly; one that only waits does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from fedforge_runtime.processes import Progress
from tests.e2e.command import wait_until

SHORT_SECONDS = 0.5


@contextmanager
def program(code: str) -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def test_one_that_computes_has_not_stopped_and_once_it_waits_it_has() -> None:
    with program("print(flush=True)\nwhile True: pass") as process:
        progress = Progress(process.pid, SHORT_SECONDS)
        before = process.cpu_times().user
        while process.cpu_times().user - before < 3 * SHORT_SECONDS:
            assert not progress.has_stopped()

        process.suspend()

        wait_until(progress.has_stopped, "the end of the progress")


def test_what_a_process_has_others_compute_is_its_progress_too() -> None:
    code = (
        "import subprocess, sys\n"
        "busy = subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n"
        "print(flush=True)\n"
        "try: busy.wait()\n"
        "finally: busy.kill()\n"
    )
    with program(code) as process:
        (child,) = process.children()
        try:
            progress = Progress(process.pid, SHORT_SECONDS)
            before = child.cpu_times().user
            while child.cpu_times().user - before < 2 * SHORT_SECONDS:
                assert not progress.has_stopped()
        finally:
            child.kill()


def test_one_that_is_gone_has_stopped() -> None:
    with program("print(flush=True)") as process:
        process.wait()

        wait_until(Progress(process.pid, SHORT_SECONDS).has_stopped, "the end of the progress")
