"""A flag that a signal handler may set while the main thread waits for it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import wait


class StopSignal:
    """As `threading.Event`, and safe in a signal handler.

    The handler of a signal runs in the main thread, between any two steps of it. `Event.set` takes a lock that the
    main thread may hold just then in `Event.wait`, and would wait for itself for ever; `SimpleQueue.get` of
    Python 3.11 can lose its time-out to a signal. A byte in a pipe has neither trouble.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def set(self) -> None:
        self._is_set = True
        with suppress(BlockingIOError):  # full of earlier ones
            os.write(self._write_end, b"!")

    def hear_signals(self) -> None:
        """Have SIGINT and SIGTERM set it from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.set())

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Whether it is set, at the latest after so many seconds."""
        if not self._is_set:
            wait([self._read_end], seconds)
        return self._is_set

    def __del__(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)


def wait_for_any(*signals: StopSignal) -> None:
    """Return once one of them is set."""
    while not any(each.is_set() for each in signals):
        wait([each._read_end for each in signals])
