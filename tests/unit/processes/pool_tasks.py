"""What the tests of the worker pool run in its processes."""

import os
import signal
import time
from pathlib import Path


class TaskError(Exception):
    """What a task raises when it is told to."""


def double(value: int) -> int:
    return 2 * value


def process_id() -> int:
    return os.getpid()


def thread_count() -> int:
    import torch

    return torch.get_num_threads()


def fail(reason: str) -> None:
    raise TaskError(reason)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    os.abort()


def leave() -> None:
    os._exit(0)


def wait(started: Path, release: Path) -> int:
    """Write the process id to `started`, wait until `release` exists, and return the process id."""
    partial = started.with_name(f".{started.name}")
    partial.write_text(str(os.getpid()))
    partial.rename(started)
    while not release.exists():  # for ever: its process ends with its pool
        time.sleep(0.005)
    return os.getpid()


def append(path: Path, text: str) -> None:
    with path.open("a") as stream:
        stream.write(text)
