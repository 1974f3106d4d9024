"""Time-outs that come when a test says so: on a busy machine nobody but who hangs is too late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from fedforge_runtime.clock import monotonic
from tests.support.patience import PATIENCE_SECONDS

NO_ANSWER = f"no answer within {PATIENCE_SECONDS:g} s"
"""How a grid describes a client that has let a time-out of `PATIENCE_SECONDS` pass."""


@contextmanager
def time_out_once(condition: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, the time-outs of a run's grid, of `PATIENCE_SECONDS`, come as soon as `condition` holds."""
    passed = 0.0

    def clock() -> float:
        nonlocal passed
        if not passed and condition():
            passed = PATIENCE_SECONDS
        return monotonic() + passed

    with patch("fedforge_runtime.federation.grid.monotonic", clock):
        yield
