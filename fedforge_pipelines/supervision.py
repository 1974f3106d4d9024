"""Processes that belong together: started one after the other, started again when they die, ended in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.processes import Progress
from fedforge_runtime.processes.child import Child
from fedforge_runtime.processes.stop_signal import StopSignal

_STALLED_SECONDS = 120.0
"""One that computes nothing for so long while it starts hangs."""
_GRACE_SECONDS = 15.0
_LOOK_SECONDS = 0.5
_SOON_SECONDS = 10.0
"""A process that ends that soon after its start is not started again at once."""
_LAST_LINES = 3


class PartError(FedForgeError):
    """A process has not become ready."""


@dataclass
class Part:
    """One of the processes.

    Args:
        name: for people.
        environment: beside ours.
        log: where its output goes, appended.
        ready: whether it can be used.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    _process: Child | None = field(default=None, init=False)
    _started: float = field(default=0.0, init=False)

    def start(self) -> None:
        self._started = monotonic()
        self._process = Child(self.command, environment=self.environment, log=self.log)

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def may_start_again(self) -> bool:
        return monotonic() - self._started > _SOON_SECONDS

    def family(self) -> list[psutil.Process]:
        """Its process and what came of it."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def last_lines(self) -> str:
        with suppress(OSError):
            return " ".join(self.log.read_text(errors="replace").split("\n")[-_LAST_LINES:]).strip()
        return ""


def start_in_order(parts: Sequence[Part], stop: StopSignal) -> bool:
    """Each once the one before can be used; `False` when they are to end instead.

    Raises:
        PartError: one has ended, or does not answer.
    """
    for part in parts:
        part.start()
        progress = Progress(part.process_id, _STALLED_SECONDS)
        while not part.ready():
            if part.has_ended():
                raise PartError(f"the {part.name} has ended: {part.last_lines()}", remedy=f"Its log is {part.log}.")
            if progress.has_stopped():
                raise PartError(f"the {part.name} does not answer.", remedy=f"Its log is {part.log}.")
            if stop.wait(_LOOK_SECONDS / 5):
                return False
    return True


def supervise(parts: Sequence[Part], stop: StopSignal, say: Callable[[str], None]) -> None:
    """Start again what dies, until it is all to end."""
    said: set[str] = set()
    while not stop.wait(_LOOK_SECONDS):
        for part in parts:
            if not part.has_ended():
                said.discard(part.name)
            elif part.may_start_again():
                say(f"the {part.name} has ended and is started again; its log is {part.log}")
                part.start()
            elif part.name not in said:
                said.add(part.name)
                say(f"the {part.name} has ended soon after its start; it is tried again in a moment")


def end(parts: Sequence[Part]) -> None:
    """The last one first, each with what came of it; what does not end is killed."""
    families = [process for part in parts for process in part.family()]
    for part in reversed(parts):
        family = part.family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        psutil.wait_procs(family, timeout=_GRACE_SECONDS)
    for process in families:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(families, timeout=_GRACE_SECONDS)
