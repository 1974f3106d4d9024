"""Who owns a folder or a run: a process that holds its lock, which the kernel releases however the process ends.

An owner's lock is exclusive; whoever only looks takes a shared one for an instant. So a look is never taken for an
owner, neither by an owner nor by another look, and keeps nobody from owning it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedforge_runtime.clock import monotonic

_PATIENCE_WITH_A_LOOK = 10.0
_PATIENCE_WITH_AN_OWNER = 1.0
"""One that was killed takes a moment to go."""
_PAUSE_SECONDS = 0.002


class OwnedError(Exception):
    """Somebody else owns it."""


@contextmanager
def owning(lock: Path) -> Iterator[None]:
    """Own what a lock file stands for while the block runs.

    Raises:
        OwnedError: another process owns it.
        OSError: the file cannot be made.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _own(descriptor)
        yield
    finally:
        os.close(descriptor)


def is_owned(lock: Path) -> bool:
    """Whether a living process owns it; keeps nobody from owning it, and makes no file."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _own(descriptor: int) -> None:
    began = monotonic()
    while not _locked(descriptor, fcntl.LOCK_EX):
        looked_at = _locked(descriptor, fcntl.LOCK_SH)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        if monotonic() - began > (_PATIENCE_WITH_A_LOOK if looked_at else _PATIENCE_WITH_AN_OWNER):
            raise OwnedError
        time.sleep(_PAUSE_SECONDS)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
