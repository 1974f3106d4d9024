"""Imported by the template: its forks fail, as the system fails them, while a file exists."""

import errno
import os
from pathlib import Path

EXHAUSTED = "FEDFORGE_TEST_EXHAUSTED"
"""Environment variable: the file."""

_fork = os.fork


def _fork_while_there_is_room() -> int:
    if EXHAUSTED in os.environ and Path(os.environ[EXHAUSTED]).exists():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


os.fork = _fork_while_there_is_room
