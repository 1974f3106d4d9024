"""A lock says who owns a thing; to look at it keeps nobody from owning it, and is never taken for an owner."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedforge_runtime.processes.ownership import OwnedError, is_owned, owning
from tests.support.patience import PATIENCE_SECONDS

LOOKING = """
import sys
from pathlib import Path
from fedforge_runtime.processes.ownership import is_owned
print("looking", flush=True)
while True:
    is_owned(Path(sys.argv[1]))
"""
OWNING = """
import sys
from pathlib import Path
from fedforge_runtime.processes.ownership import owning
with owning(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(code: str, lock: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


def test_who_owns_is_seen_until_it_ends_however_it_ends(lock: Path) -> None:
    with process(OWNING, lock) as owner:
        assert is_owned(lock)
        owner.kill()
        owner.wait()

        assert not is_owned(lock)


def test_a_second_owner_is_refused(lock: Path) -> None:
    with process(OWNING, lock), pytest.raises(OwnedError), owning(lock):
        pass


def test_a_look_makes_no_file(lock: Path) -> None:
    assert not is_owned(lock)
    assert not lock.exists()


def test_a_look_at_what_may_only_be_read_is_possible(lock: Path) -> None:
    lock.touch(mode=0o444)

    assert not is_owned(lock)


def test_however_often_it_is_looked_at_the_owner_gets_it(lock: Path) -> None:
    with process(LOOKING, lock), process(LOOKING, lock):
        for _ in range(300):
            with owning(lock):
                assert is_owned(lock)


def test_looks_at_the_same_time_see_no_owner_in_each_other(lock: Path) -> None:
    lock.touch()
    together = threading.Barrier(4)

    def look(_: int) -> bool:
        together.wait(PATIENCE_SECONDS)
        return any(is_owned(lock) for _ in range(2000))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, range(4))) == [False] * 4
