"""A signal reaches the process that was meant, and never the one that has its number now."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fedforge_runtime.processes import ProcessIdentity
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_signal_reaches_the_process(process: subprocess.Popen[bytes]) -> None:
    identity = pickle.loads(pickle.dumps(ProcessIdentity.of(process.pid)))  # as a worker tells it

    assert identity.send(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_another_process_with_the_same_number_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(process.pid)
    former = replace(identity, started=identity.started - 1)

    assert not former.send(signal.SIGKILL)
    assert process.poll() is None
    process.communicate(b"\n", timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


def test_a_process_that_has_ended_is_told_nothing(process: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(process.pid)
    process.kill()
    process.wait(PATIENCE_SECONDS)

    assert not identity.send(signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(process.pid)


def test_two_looks_at_a_process_see_the_same_one() -> None:
    assert ProcessIdentity.own() == ProcessIdentity.own()
