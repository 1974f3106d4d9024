"""How a fault is brought about, and how it is over."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from tests.e2e.command import wait_until
from tests.support.bad_link import BadLink


class Strike(Protocol):
    """One fault of one trial."""

    def begin(self) -> None:
        """Bring it about."""

    def end(self) -> None:
        """Have it over: by now the run has ended, or it had to go on with it."""


@dataclass
class SignalStrike:
    """A process is killed, or stopped until the end."""

    process: psutil.Process
    signal: signal.Signals
    revive: bool = True
    """A process that hangs goes on afterwards; else it is killed."""

    def begin(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.send_signal(self.signal)

    def end(self) -> None:
        if self.signal == signal.SIGSTOP:
            with suppress(psutil.NoSuchProcess):
                self.process.resume() if self.revive else self.process.kill()


@dataclass
class Passing:
    """Something that is over by itself after some seconds, or with the run."""

    begin_fault: Callable[[], None]
    end_fault: Callable[[], None]
    seconds: float
    _over: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def begin(self) -> None:
        self.begin_fault()
        self._thread = threading.Thread(target=self._pass, name="passing-fault", daemon=True)
        self._thread.start()

    def _pass(self) -> None:
        self._over.wait(self.seconds)
        self.end_fault()

    def end(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()


LINK_FAULTS: dict[str, Callable[[BadLink], None]] = {
    "cut": BadLink.reset,
    "stalled": BadLink.stall,
    "html": lambda link: link.answer(200),
    "refused": BadLink.refuse,
}


def link_strike(link: BadLink, kind: str, seconds: float) -> Passing:
    """The line of a node is bad for some seconds."""
    return Passing(lambda: LINK_FAULTS[kind](link), link.pass_on, seconds)


def fork_strike(exhausted: Path, client: psutil.Process, seconds: float) -> Passing:
    """The system forks no process for some seconds, and a client's is killed meanwhile."""

    def begin() -> None:
        exhausted.touch()
        with suppress(psutil.NoSuchProcess):
            client.kill()

    return Passing(begin, lambda: exhausted.unlink(missing_ok=True), seconds)


@dataclass
class DiskStrike:
    """The disk of a home is full until the run has ended."""

    ballast: Path

    def begin(self) -> None:
        with self.ballast.open("wb", buffering=0) as stream:
            part = b"\0" * (1 << 20)
            while part:
                try:
                    stream.write(part)
                except OSError:
                    part = part[: len(part) // 2]

    def end(self) -> None:
        self.ballast.unlink(missing_ok=True)


@dataclass
class RivalStrike:
    """A second node for a site comes while the first one is at work, and stays until the end.

    Args:
        held: a client's process, which waits until the second node is there.
        is_there: whether it is.
    """

    command: list[str]
    environment: dict[str, str]
    held: psutil.Process
    is_there: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def begin(self) -> None:
        self.held.suspend()
        try:
            self._process = subprocess.Popen(
                self.command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            wait_until(self.is_there, "the second node")
        finally:
            with suppress(psutil.NoSuchProcess):
                self.held.resume()

    def end(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
