from __future__ import annotations

import subprocess
import sys

from fedforge_runtime.processes.stop_signal import StopSignal
from tests.support.patience import PATIENCE_SECONDS

A_SIGNAL_AT_ANY_MOMENT_OF_A_WAIT = """
import random, signal
from fedforge_runtime.processes.stop_signal import StopSignal as Flag

random.seed(7)
signal.signal(signal.SIGALRM, lambda *_: flag.set())
for _ in range(20_000):
    flag = Flag()
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 6e-5))
    while not flag.wait(1e-5):
        pass
print("all came back")
"""


def test_a_signal_handler_may_set_it_at_any_moment_of_a_wait() -> None:
    """With `threading.Event` in its place the program deadlocks after some thousand rounds."""
    done = subprocess.run(
        [sys.executable, "-c", A_SIGNAL_AT_ANY_MOMENT_OF_A_WAIT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == "all came back\n", done.stderr


def test_a_wait_ends_without_it_and_at_once_with_it() -> None:
    flag = StopSignal()
    assert not flag.is_set()
    assert not flag.wait(0.01)

    for _ in range(100_000):  # more than a pipe holds
        flag.set()

    assert flag.is_set()
    assert flag.wait(1e9)
