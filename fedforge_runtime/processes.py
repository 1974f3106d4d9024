"""Worker processes that stay: forked from one preloaded template, replaced when they die or are abandoned.

The calling process imports neither torch nor transformers. Each worker is a one-process executor, so that a
worker that dies takes only its own task with it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from fedforge_runtime.background import Background
from fedforge_runtime.errors import FedForgeError, RunStoppedError

_WORKER_DIED = "a worker process ended before its task did: it was killed, perhaps because memory ran out."


class WorkerDiedError(FedForgeError):
    """The worker's process ended before its task did: killed, out of memory, or abandoned."""


_WATCH_SECONDS = 0.05

_preloaded = ["fedforge_runtime.preload"]
"""What the template imports."""
_has_forked = False
"""Whether a process was forked from the template, which then is loaded."""
_given_up: RunStoppedError | None = None
"""Why the template was ended before that."""


def start_template(*modules: str) -> None:
    """Begin to load the template in the background, so that the first worker waits less.

    Args:
        modules: what it imports beside `fedforge_runtime.preload`, for processes that all need them.
    """
    _preloaded.extend(module for module in modules if module not in _preloaded)
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        # Ctrl-C reaches the whole group, and the template ignores it only after its imports: it is born deaf to it.
        resource_tracker.ensure_running()
        blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
        atexit.register(_end_template)


class UntilLoaded(Background):
    """While the block runs and nothing was forked from the template yet, end the template once the run is to stop.

    Whoever waits for a process from it, which can take as long as its imports, then gets the `RunStoppedError`.

    Args:
        check: called in another thread, often; raises `RunStoppedError` once the run is to stop.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__("until-template-is-loaded")
        self._check = check

    def _work(self) -> None:
        global _given_up
        while not _has_forked and not self._ending.wait(_WATCH_SECONDS):
            try:
                self._check()
            except RunStoppedError as error:
                _given_up = error
                _end_template()  # and again, where whoever wants a process has it started anew

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _given_up
        super().__exit__(kind, error, trace)
        _given_up = None


@contextmanager
def _forking() -> Iterator[None]:
    """Around whatever starts a process from the template."""
    global _has_forked
    try:
        yield
    except (EOFError, OSError):
        if _given_up:
            raise _given_up from None
        raise
    _has_forked = True


def _end_template() -> None:
    """Kill the template: it would notice the end of this process only after its imports, seconds later."""
    from multiprocessing import forkserver

    process_id = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if process_id is not None:
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def _context() -> BaseContext:
    # Forking a process that has loaded torch is unsafe on macOS: there every worker imports for itself.
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(_preloaded)
    return context


def die_with_owner() -> None:
    """Have this process end when the process that asked for it ends, however that ends.

    The owner is not the parent, which is the template; and the template lives for as long as a worker does.
    """
    owner = multiprocessing.parent_process()
    assert owner is not None

    def watch() -> None:
        owner.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch-owner", daemon=True).start()


def share_template() -> None:
    """In a process forked from the template: have its workers forked from there too, not from a template of its own.

    Once the template is gone, starting a worker raises `OSError`.
    """
    from multiprocessing import forkserver, resource_tracker

    server: Any = forkserver._forkserver
    if server._forkserver_address and server._forkserver_pid is None:
        server.ensure_running = resource_tracker.ensure_running


def start_process(function: Callable[..., None], *arguments: Any, name: str) -> BaseProcess:
    """Run `function(*arguments)` of an importable module in a process forked from the template."""
    process: BaseProcess = _context().Process(target=function, args=arguments, name=name)  # type: ignore[attr-defined]
    with _forking():
        process.start()
    return process


def _initialise_worker(threads: int) -> None:
    die_with_owner()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import torch

    torch.set_num_threads(threads)


@dataclass
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outcome: Future[Any] = field(default_factory=Future)


class _Slot:
    """One worker process and the task it works on."""

    def __init__(self, threads: int) -> None:
        self.executor = ProcessPoolExecutor(
            1, mp_context=_context(), initializer=_initialise_worker, initargs=(threads,)
        )
        with _forking():
            self.process_id: Future[int] = self.executor.submit(os.getpid)
        self.task: _Task | None = None

    def kill(self) -> None:
        """Signal the process to end at once, whatever it is doing."""
        with suppress(BrokenProcessPool, CancelledError, ProcessLookupError):
            os.kill(self.process_id.result(), signal.SIGKILL)

    def join(self) -> None:
        """Wait until the process is gone."""
        self.executor.shutdown(wait=True, cancel_futures=True)

    def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill()
        self.join()


class WorkerPool:
    """Runs functions of importable modules in long-lived worker processes, first come, first served.

    Args:
        workers: number of processes; they start with the first task.
        threads: torch threads in each.
    """

    def __init__(self, workers: int, *, threads: int = 1) -> None:
        self._worker_count = workers
        self._threads = threads
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._slots: list[_Slot] = []
        self._closed = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queue `function(*arguments)`; its result, its exception, or `WorkerDiedError`."""
        task = _Task(function, arguments)
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker pool is closed")
            if not self._slots:
                self._slots = [_Slot(self._threads) for _ in range(self._worker_count)]
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
                    self._replace(slot)
                    return

    def close(self) -> None:
        """Kill every worker; tasks that have not ended get `WorkerDiedError` or are cancelled."""
        with self._lock:
            self._closed = True
            slots, self._slots = self._slots, []
            waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            task.outcome.cancel()
        for slot in slots:
            slot.kill()
        for slot in slots:
            slot.join()

    def _dispatch(self) -> None:
        for slot in self._slots:
            while self._waiting and slot.task is None:
                task = self._waiting.popleft()
                if not task.outcome.set_running_or_notify_cancel():
                    continue
                slot.task = task
                try:
                    running = slot.executor.submit(task.function, *task.arguments)
                except BrokenProcessPool:  # it died while idle: a fresh worker takes the task
                    slot.task = None
                    slot = self._replace(slot)
                    slot.task = task
                    running = slot.executor.submit(task.function, *task.arguments)
                running.add_done_callback(partial(self._finish, slot, task))

    def _finish(self, slot: _Slot, task: _Task, done: Future[Any]) -> None:
        error = CancelledError() if done.cancelled() else done.exception()
        died = isinstance(error, (BrokenProcessPool, CancelledError))
        with self._lock:
            slot.task = None
            if died and slot in self._slots:
                self._replace(slot)
        if died:
            task.outcome.set_exception(WorkerDiedError(_WORKER_DIED))
        elif error:
            task.outcome.set_exception(error)
        else:
            task.outcome.set_result(done.result())
        with self._lock:
            if not self._closed:
                self._dispatch()

    def _replace(self, slot: _Slot) -> _Slot:
        fresh = _Slot(self._threads)
        self._slots[self._slots.index(slot)] = fresh
        threading.Thread(target=slot.end, name="end-worker", daemon=True).start()
        return fresh

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
