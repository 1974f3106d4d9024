"""Worker processes that stay: forked from the template, replaced when they die or are abandoned.

The calling process imports neither torch nor transformers. Each worker is a one-process executor, so that a
worker that dies takes only its own task with it.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from fedforge_runtime.errors import ProcessStartError, RunStoppedError, WorkerDiedError
from fedforge_runtime.processes.endings import explain_death
from fedforge_runtime.processes.identity import ProcessIdentity
from fedforge_runtime.processes.template import LOST_SIGHT, TEMPLATE, die_with_owner

_TEMPLATE_ENDED = "the process that it was forked from has ended, and with it the sight of it"


def _initialise_worker(threads: int) -> None:
    die_with_owner()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import torch

    torch.set_num_threads(threads)


def _nothing() -> None:
    """What has an executor start its process."""


@dataclass
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outcome: Future[Any] = field(default_factory=Future)
    begun: bool = False
    """It can no longer be cancelled."""


class _Slot:
    """One worker process and the task it works on.

    Raises:
        ProcessStartError, RunStoppedError: as `starting`.
    """

    def __init__(self, threads: int) -> None:
        with TEMPLATE.starting():
            self.executor = ProcessPoolExecutor(
                1, mp_context=TEMPLATE.context(), initializer=_initialise_worker, initargs=(threads,)
            )
            self.executor.submit(_nothing)
        (self._handle,) = self.executor._processes.values()
        self.process = ProcessIdentity.find(self._handle.pid)  # none where it has ended already
        self.task: _Task | None = None

    def death(self) -> str:
        """How the process ended, and what that likely means."""
        code = self._handle.exitcode
        return _TEMPLATE_ENDED if code == LOST_SIGHT else explain_death(code)

    def kill(self) -> None:
        """Have the process end at once, whatever it is doing."""
        if self.process:
            self.process.send(signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)


class WorkerPool:
    """Runs functions of importable modules in long-lived worker processes, first come, first served.

    Where the system starts no further process the pool goes on with the workers that it has, and tries again with
    each task; a task ends with `ProcessStartError` only where there is no worker at all.

    Args:
        workers: number of processes; they start with the first task.
        threads: torch threads in each.
    """

    def __init__(self, workers: int, *, threads: int = 1) -> None:
        self.workers = workers
        self._threads = threads
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._slots: list[_Slot] = []
        self._closed = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queue `function(*arguments)`; its result, its exception, `WorkerDiedError` or `ProcessStartError`."""
        task = _Task(function, arguments)
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker pool is closed")
            self._waiting.append(task)
            self._dispatch()
        return task.outcome

    def abandon(self, outcome: Future[Any]) -> None:
        """Give up a task: take it from the queue, or kill and replace the worker that is busy with it."""
        with self._lock:
            for task in list(self._waiting):
                if task.outcome is outcome:
                    self._waiting.remove(task)
                    outcome.cancel()
                    return
            for slot in self._slots:
                if slot.task and slot.task.outcome is outcome:
                    self._discard(slot)
                    self._dispatch()
                    return

    def close(self) -> None:
        """Kill every worker; tasks that have not ended get `WorkerDiedError` or are cancelled."""
        with self._lock:
            self._closed = True
            slots, self._slots = self._slots, []
            waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            task.outcome.cancel()
        for slot in slots:  # all of them, before the first is waited for
            slot.kill()
        for slot in slots:
            slot.end()

    def _fill(self) -> ProcessStartError | RunStoppedError | None:
        """Start the workers that are missing; why one could not be started."""
        while len(self._slots) < self.workers:
            try:
                self._slots.append(_Slot(self._threads))
            except (ProcessStartError, RunStoppedError) as error:
                return error
        return None

    def _dispatch(self) -> None:
        """Give tasks that wait to workers that are idle."""
        while self._waiting:
            failure = self._fill()
            slot = next((each for each in self._slots if each.task is None), None)
            if slot is None:
                if not self._slots:
                    self._fail_waiting(failure)
                return
            task = self._waiting.popleft()
            if not task.begun and not task.outcome.set_running_or_notify_cancel():
                continue
            task.begun = True
            try:
                running = slot.executor.submit(task.function, *task.arguments)
            except BrokenProcessPool:  # it died while idle: another takes the task
                self._discard(slot)
                self._waiting.appendleft(task)
                continue
            slot.task = task
            running.add_done_callback(partial(self._finish, slot, task))

    def _fail_waiting(self, failure: BaseException | None) -> None:
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            if task.begun or task.outcome.set_running_or_notify_cancel():
                task.outcome.set_exception(failure)

    def _finish(self, slot: _Slot, task: _Task, done: Future[Any]) -> None:
        error = CancelledError() if done.cancelled() else done.exception()
        died = isinstance(error, (BrokenProcessPool, CancelledError))
        failure, death = None, slot.death() if died else ""
        with self._lock:
            slot.task = None
            if died and slot in self._slots:
                self._discard(slot)
            if died and not self._closed:
                failure = self._fill()
        if died:
            task.outcome.set_exception(WorkerDiedError(death, failure))
        elif error:
            task.outcome.set_exception(error)
        else:
            task.outcome.set_result(done.result())
        with self._lock:
            if not self._closed:
                self._dispatch()

    def _discard(self, slot: _Slot) -> None:
        """Let a worker go that is dead, or busy with what nobody waits for."""
        self._slots.remove(slot)
        try:
            threading.Thread(target=slot.end, name="end-worker", daemon=True).start()
        except RuntimeError:  # the system starts no thread: nobody waits for its end
            slot.executor.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
