"""What the operator wants of a run. The default says "run"; signals say "stop"."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import Literal, Protocol, TypeVar

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.processes.background import Background
from fedforge_runtime.processes.interrupts import interrupt
from fedforge_runtime.processes.stop_signal import StopSignal

Desired = Literal["run", "pause", "stop"]
T = TypeVar("T")
_LOOK_SECONDS = 0.1

INTERRUPTED = "interrupted by a second signal"
"""The reason of a stop that did not wait for its end."""


class Control(Protocol):
    """Asked often and cheaply, between rounds and while waiting for clients."""

    def desired(self) -> Desired:
        """The present wish."""


class AlwaysRun:
    """No operator: the run goes on until it ends."""

    def desired(self) -> Desired:
        return "run"


class SignalControl:
    """Says "stop" after SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self._stop = StopSignal()
        self.reason = ""

    def desired(self) -> Desired:
        return "stop" if self._stop.is_set() else "run"

    def raise_if_stopped(self) -> None:
        """Raise `RunStoppedError` once a stop was asked for."""
        if self._stop.is_set():
            raise RunStoppedError(f"stopped: {self.reason}.")

    @contextmanager
    def installed(self) -> Iterator[SignalControl]:
        """Listen to the signals while the block runs, and obey them; a second Ctrl-C interrupts at once."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handled = False

        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal handled
            if handled:
                signal.signal(number, before[signal.Signals(number)])
                raise KeyboardInterrupt
            handled = True
            self._hear(number)

        for number in before:
            signal.signal(number, handle)
        try:
            with self._heard_at_once(before), obey(self):
                yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Have a signal end at once what is done in the block, for work that asks nobody; only where it is installed.

        Raises:
            RunStoppedError: a signal came.
        """
        installed = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def handle(number: int, frame: FrameType | None) -> None:
            self._hear(number)
            interrupt(number, frame)

        self.raise_if_stopped()
        try:
            for number in installed:
                signal.signal(number, handle)
            yield
        except KeyboardInterrupt:
            self.raise_if_stopped()
            raise
        finally:
            for number, handler in installed.items():
                signal.signal(number, handler)

    def _hear(self, number: int) -> None:
        if not self._stop.is_set():
            self.reason = f"{signal.Signals(number).name} received"
            self._stop.set()

    @contextmanager
    def _heard_at_once(self, numbers: Collection[int]) -> Iterator[None]:
        """Hear signals in a thread of its own as well.

        Python runs handlers in the main thread, which may wait in a library for a lock that nobody releases, and miss
        the signal's wake-up: another thread has taken it, or it came just before the wait began.
        """
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)

        def listen() -> None:
            while arrived := os.read(read_end, 64):
                for number in arrived:
                    if number in numbers:
                        self._hear(number)

        thread = threading.Thread(target=listen, name="signals", daemon=True)
        before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.close(write_end)
            thread.join()
            os.close(read_end)


class BothControls:
    """The signals of this process and the operator elsewhere: a stop goes before a pause, a pause before going on."""

    def __init__(self, signals: SignalControl, operator: Control) -> None:
        self._signals = signals
        self._operator = operator

    def desired(self) -> Desired:
        return "stop" if self._signals.desired() == "stop" else self._operator.desired()

    def raise_if_stopped(self) -> None:
        """Raise `RunStoppedError` once a stop was asked for."""
        self._signals.raise_if_stopped()
        if self._operator.desired() == "stop":
            raise RunStoppedError("stopped: by the operator, or because another attempt has taken its place.")


class StopBySignal(Background):
    """Sends this process SIGINT once the operator wants it to stop, for work in the block that asks nobody."""

    def __init__(self, operator: Control) -> None:
        super().__init__("stop-by-signal")
        self._operator = operator

    def _work(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            if self._operator.desired() == "stop":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return


_present: Control = AlwaysRun()


def present_control() -> Control:
    """The control that the run in this process obeys."""
    return _present


@contextmanager
def obey(control: Control) -> Iterator[None]:
    """Make `control` the present one while the block runs."""
    global _present
    before, _present = _present, control
    try:
        yield
    finally:
        _present = before


def raise_if_stopped(control: Control) -> None:
    """Raise `RunStoppedError` once a stop was asked for."""
    if control.desired() == "stop":
        raise RunStoppedError("stopped: on request.")


def hear_stop() -> None:
    """Raise `RunStoppedError` once the run in this process is to stop; for whatever waits in the midst of it."""
    raise_if_stopped(_present)


def await_result(outcome: Future[T], control: Control, *, timeout: float | None = None) -> T:
    """The result of work elsewhere, or what it raised; a stop is heard meanwhile.

    Args:
        timeout: seconds; `None` for work that has an end of its own, or that dies with its process.

    Raises:
        RunStoppedError: a stop was asked for first.
        TimeoutError: neither happened in time.
    """
    deadline = None if timeout is None else monotonic() + timeout
    while not wait([outcome], timeout=_LOOK_SECONDS).done:
        raise_if_stopped(control)
        if deadline is not None and monotonic() > deadline:
            raise TimeoutError
    return outcome.result()


def await_call(call: Callable[[], T], control: Control, *, timeout: float | None = None) -> T:
    """As `await_result`, of a call that blocks: it goes on in a thread of its own when nobody waits for it any more."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="call", daemon=True).start()
    return await_result(outcome, control, timeout=timeout)
