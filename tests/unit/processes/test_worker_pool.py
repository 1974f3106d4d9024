"""Workers stay, are replaced when they die, and are gone when the pool is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import psutil
import pytest

from fedforge_runtime.errors import WorkerDiedError
from fedforge_runtime.processes import WorkerPool
from tests.support.patience import PATIENCE_SECONDS
from tests.unit.processes import pool_tasks


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as pool:
        yield pool


def test_a_task_gives_its_result(pool: WorkerPool) -> None:
    assert [result(pool.submit(pool_tasks.double, value)) for value in range(5)] == [0, 2, 4, 6, 8]


def test_a_task_that_raises_gives_its_exception_and_the_worker_stays(pool: WorkerPool) -> None:
    before = workers_of(pool)

    with pytest.raises(pool_tasks.TaskError, match="the reason"):
        result(pool.submit(pool_tasks.fail, "the reason"))

    assert workers_of(pool) == before


def test_an_argument_that_cannot_travel_is_the_tasks_own_error(pool: WorkerPool) -> None:
    with pytest.raises(Exception, match="pickle"):
        result(pool.submit(pool_tasks.double, lambda: None))

    assert result(pool.submit(pool_tasks.double, 4)) == 8


@pytest.mark.parametrize(
    ("end", "death"),
    [
        (pool_tasks.die, r"killed by SIGKILL, .* memory .*runtime\.workers=1"),
        (pool_tasks.crash, "killed by SIGABRT, a crash in native code"),
        (pool_tasks.leave, "exit code 0"),
    ],
)
def test_a_worker_that_dies_says_how_takes_only_its_own_task_and_is_replaced(
    pool: WorkerPool, tmp_path: Path, end: Callable[[], None], death: str
) -> None:
    beside = Waiting(pool, tmp_path)
    lost = pool.submit(end)
    queued = pool.submit(pool_tasks.process_id)

    with pytest.raises(WorkerDiedError, match=f"a worker process ended before its task did: {death}"):
        result(lost)

    assert result(queued) != beside.process_id
    beside.release.touch()
    assert result(beside.outcome) == beside.process_id


def test_a_worker_that_dies_while_idle_is_replaced(pool: WorkerPool) -> None:
    before = workers_of(pool)
    for process in before:
        os.kill(process, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(each) for each in before if psutil.pid_exists(each)], timeout=PATIENCE_SECONDS)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            assert result(pool.submit(pool_tasks.process_id)) not in before
            break
        except WorkerDiedError:
            continue  # the pool had not noticed yet
    assert workers_of(pool).isdisjoint(before)


def test_a_running_task_that_is_abandoned_frees_its_worker(pool: WorkerPool, tmp_path: Path) -> None:
    running = [Waiting(pool, tmp_path / str(number)) for number in range(2)]
    queued = pool.submit(pool_tasks.process_id)

    pool.abandon(running[0].outcome)

    assert result(queued) not in {each.process_id for each in running}
    with pytest.raises(WorkerDiedError):
        result(running[0].outcome)
    assert not psutil.pid_exists(running[0].process_id)
    running[1].release.touch()
    assert result(running[1].outcome) == running[1].process_id


def test_a_queued_task_that_is_abandoned_never_runs(pool: WorkerPool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    running = [Waiting(pool, tmp_path / str(number)) for number in range(2)]
    abandoned = pool.submit(pool_tasks.append, trace, "abandoned")
    kept = pool.submit(pool_tasks.append, trace, "kept")

    pool.abandon(abandoned)
    for each in running:
        each.release.touch()

    result(kept)
    assert abandoned.cancelled()
    assert trace.read_text() == "kept"


def test_a_task_that_has_ended_can_be_abandoned_without_harm(pool: WorkerPool) -> None:
    before = workers_of(pool)
    done = pool.submit(pool_tasks.double, 1)
    assert result(done) == 2

    pool.abandon(done)

    assert workers_of(pool) == before


def test_tasks_begin_first_come_first_served(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with WorkerPool(1) as pool:
        wait([pool.submit(pool_tasks.append, trace, text) for text in "abcdef"], timeout=PATIENCE_SECONDS)

    assert trace.read_text() == "abcdef"


def test_workers_have_the_threads_that_were_asked_for() -> None:
    with WorkerPool(1, threads=2) as pool:
        assert result(pool.submit(pool_tasks.thread_count)) == 2


def test_closing_ends_what_runs_drops_what_waits_and_leaves_no_process(tmp_path: Path) -> None:
    pool = WorkerPool(2)
    running = [Waiting(pool, tmp_path / str(number)) for number in range(2)]
    queued = pool.submit(pool_tasks.double, 1)

    pool.close()  # what runs would never end

    assert queued.cancelled()
    for each in running:
        with pytest.raises((WorkerDiedError, CancelledError)):
            result(each.outcome)
        assert not psutil.pid_exists(each.process_id)


def test_a_closed_pool_takes_no_task_and_can_be_closed_again() -> None:
    pool = WorkerPool(1)
    pool.close()
    pool.close()

    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(pool_tasks.double, 1)


def test_workers_die_with_the_process_that_made_them(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import pool_tasks\n"
        "from fedforge_runtime.processes import WorkerPool\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[2])\n"
        "    pool = WorkerPool(2)\n"
        "    outcomes = [pool.submit(pool_tasks.wait, folder / f's{n}', folder / 'never') for n in range(2)]\n"
        "    outcomes[0].result()\n"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    process = subprocess.Popen([sys.executable, str(program), str(Path(__file__).parent), str(tmp_path)])
    try:
        wait_until(lambda: (tmp_path / "s0").exists() and (tmp_path / "s1").exists())
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2
    finally:
        process.kill()
        process.wait()

    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []


class Waiting:
    """A task that is certainly running, until `release` exists."""

    def __init__(self, pool: WorkerPool, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        started, self.release = folder / "started", folder / "release"
        self.outcome = pool.submit(pool_tasks.wait, started, self.release)
        wait_until(started.exists)
        self.process_id = int(started.read_text())


def workers_of(pool: WorkerPool) -> set[int]:
    """The processes of a pool of two that is idle."""
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < 2:
        assert time.monotonic() < deadline
        found |= {result(each) for each in [pool.submit(pool_tasks.process_id) for _ in range(2)]}
    return found


def result(outcome: Future[int]) -> int:
    return outcome.result(timeout=PATIENCE_SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
