"""A system that starts no further process costs the tasks that have no worker, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedforge_runtime.errors import ProcessStartError
from fedforge_runtime.processes import TEMPLATE
from tests.support.patience import PATIENCE_SECONDS
from tests.unit.processes.failing_fork import EXHAUSTED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are workers forked from a template")

_PROGRAM = """
import sys, time
from pathlib import Path
from multiprocessing import forkserver

sys.path.insert(0, sys.argv[1])
import pool_tasks
from fedforge_runtime.errors import ProcessStartError, WorkerDiedError
from fedforge_runtime.processes import TEMPLATE, WorkerPool

def fails(outcome, kind):
    try:
        outcome.result()
    except kind as error:
        return str(error)
    raise AssertionError("it has not failed")

if __name__ == "__main__":
    exhausted, folder = Path(sys.argv[2]), Path(sys.argv[3])
    # Before the template's other imports, which have it survive such a fork.
    TEMPLATE.modules.insert(0, "tests.unit.processes.failing_fork")
    TEMPLATE.start()
    with WorkerPool(2) as pool:
        busy = pool.submit(pool_tasks.wait, folder / "started", folder / "release")
        while not (folder / "started").exists():
            time.sleep(0.01)
        template = forkserver._forkserver._forkserver_pid
        exhausted.touch()
        print(fails(pool.submit(pool_tasks.die), WorkerDiedError))
        queued = [pool.submit(pool_tasks.process_id) for _ in range(3)]
        (folder / "release").touch()
        ours = busy.result()
        assert {each.result() for each in queued} == {ours}, "the worker that is left takes them"
        exhausted.unlink()
        more = set()
        while len(more) < 2:
            more |= {each.result() for each in [pool.submit(pool_tasks.process_id) for _ in range(2)]}
        assert forkserver._forkserver._forkserver_pid == template
    print("both workers are there again")
    with WorkerPool(1) as pool:
        assert pool.submit(pool_tasks.double, 2).result() == 4
        exhausted.touch()
        print(fails(pool.submit(pool_tasks.die), WorkerDiedError))
        print(fails(pool.submit(pool_tasks.double, 2), ProcessStartError))
        exhausted.unlink()
        print(pool.submit(pool_tasks.double, 3).result())
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a program prints whose pools, with a template of its own, cannot fork for a while."""
    return run(tmp_path_factory.mktemp("forks"))


def test_a_fork_that_fails_ends_the_task_of_the_dead_worker_and_the_others_go_on(said: list[str]) -> None:
    died, again, *_ = said

    assert died.startswith("a worker process ended before its task did")
    assert "no worker process can be started: the system started none" in died
    assert again == "both workers are there again"


@pytest.mark.parametrize(
    "sight",
    [
        EOFError(),
        BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
        ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    ],
    ids=lambda sight: type(sight).__name__,
)
def test_whenever_a_template_hangs_up_that_cannot_fork_the_reason_is_the_same(sight: Exception) -> None:
    with pytest.raises(ProcessStartError, match="the system started none, as when memory"), TEMPLATE.starting():
        raise sight


def test_without_any_worker_a_task_ends_with_the_reason_and_the_next_one_tries_again(said: list[str]) -> None:
    *_, died, none, value = said

    assert "no worker process can be started" in died
    assert none.startswith("no worker process can be started: the system started none")
    assert value == "6"


def run(folder: Path) -> list[str]:
    """The lines that the program prints."""
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    exhausted = folder / "exhausted"
    done = subprocess.run(
        [sys.executable, str(program), str(Path(__file__).parent), str(exhausted), str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), EXHAUSTED: str(exhausted)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
