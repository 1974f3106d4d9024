"""Ctrl-C and SIGTERM as `KeyboardInterrupt`, at a moment at which it is not lost."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def raise_on_signals() -> None:
    """Have SIGINT and SIGTERM raise `KeyboardInterrupt` in the main thread, but never inside an import.

    There it would be lost: a module may catch whatever its imports raise, extensions clear errors or turn them into
    their own, and what is raised in a callback of Python's import locks is only printed. What comes during an import
    is raised in the next step of whoever imports, by whichever handler the signal has then.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The handler of `raise_on_signals`."""
    importing = _outermost_importing(frame)
    if importing is None:
        raise KeyboardInterrupt

    def next_step(frame: FrameType, event: str, argument: object) -> None:
        sys.settrace(None)
        signal.raise_signal(number)

    importing.f_trace = next_step
    sys.settrace(lambda frame, event, argument: None)  # a frame's own function is called only while there is this one


def _outermost_importing(frame: FrameType | None) -> FrameType | None:
    """Whoever asked for the import that this frame is part of, and of the imports that led to it; `None` outside."""
    importing = None
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            importing = frame.f_back
        frame = frame.f_back
    return importing
