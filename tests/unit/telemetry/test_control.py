"""What the operator wants, asked cheaply and answered by signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.telemetry.control import AlwaysRun, SignalControl, obey, present_control
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def handlers_stay_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


def test_without_an_operator_a_run_goes_on() -> None:
    assert AlwaysRun().desired() == "run"
    assert present_control().desired() == "run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_means_stop_and_is_the_reason(number: signal.Signals) -> None:
    with SignalControl().installed() as control:
        assert control.desired() == "run"
        control.raise_if_stopped()

        os.kill(os.getpid(), number)

        assert control.desired() == "stop"
        with pytest.raises(RunStoppedError, match=f"stopped: {number.name} received"):
            control.raise_if_stopped()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_interrupts_at_once(first: signal.Signals, second: signal.Signals) -> None:
    with SignalControl().installed() as control:
        os.kill(os.getpid(), first)

        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)

        assert control.desired() == "stop"


def test_a_stop_that_was_said_once_stays_said_after_the_block() -> None:
    with SignalControl().installed() as control:
        os.kill(os.getpid(), signal.SIGTERM)

    assert control.desired() == "stop"


def test_the_present_control_is_obeyed_within_its_block_only() -> None:
    control = SignalControl()

    with obey(control):
        assert present_control() is control
        with pytest.raises(ValueError, match="inner"), obey(AlwaysRun()):
            raise ValueError("inner")
        assert present_control() is control

    assert present_control() is not control


def test_a_signal_is_heard_although_the_main_thread_waits_for_a_lock_and_another_thread_has_taken_it() -> None:
    waits, heard, places = threading.Lock(), threading.Event(), [0, 1]

    def is_waiting() -> bool:
        places.append(sys._current_frames()[threading.main_thread().ident or 0].f_lasti)
        return places[-1] == places[-2] == places[-3]

    with SignalControl().installed() as control, waits:

        def other() -> None:
            try:
                until(is_waiting)
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
                if until(lambda: control.desired() == "stop"):
                    heard.set()
            finally:
                waits.release()

        threading.Thread(target=other).start()
        waits.acquire()  # as in the join of a thread: the handler runs once this has ended

    assert heard.is_set()
    assert control.reason == "SIGINT received"


def until(condition: Callable[[], bool]) -> bool:
    """Whether it has come true in good time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
