"""Whether a process that starts gets on: on a busy machine that takes long, and only one that hangs does nothing."""

from __future__ import annotations

from contextlib import suppress

import psutil

from fedforge_runtime.clock import monotonic

_SHARE = 0.01
"""Of a core: less than that has a process that only waits, and more even one of many that are busy."""


class Progress:
    """Of a process and what it has started, in time of the processor.

    Args:
        patience: seconds in which it must have computed something.
    """

    def __init__(self, process_id: int, patience: float) -> None:
        self._process_id = process_id
        self._patience = patience
        self._since = monotonic()
        self._spent = self._seconds()

    def has_stopped(self) -> bool:
        """Whether it has computed nothing for longer than the patience."""
        if monotonic() - self._since <= self._patience:
            return False
        spent = self._seconds()
        if spent - self._spent < _SHARE * self._patience:
            return True
        self._since, self._spent = monotonic(), spent
        return False

    def _seconds(self) -> float:
        spent = 0.0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process_id)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    spent += times.user + times.system
        return spent
