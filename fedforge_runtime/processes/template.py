"""The template: one process that has loaded what takes seconds, and that others are forked from."""

from __future__ import annotations

import atexit
import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import reduction
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from fedforge_runtime.errors import ProcessStartError, RunStoppedError
from fedforge_runtime.processes.background import Background

_WATCH_SECONDS = 0.05

LOST_SIGHT = 255
"""What multiprocessing says of a process whose template has died, whether it lives or not."""


class Template:
    """The template of this process: what it loads, and what has come of it."""

    def __init__(self) -> None:
        self.modules = ["fedforge_runtime.engines.preload"]
        """What it imports."""
        self.has_forked = False
        """Whether a process was forked from it, which then is loaded."""
        self.given_up: RunStoppedError | None = None
        """Why it was ended before that."""

    def start(self, *modules: str) -> None:
        """Begin to load it in the background, so that the first worker waits less.

        Args:
            modules: what it imports beside `fedforge_runtime.engines.preload`, for processes that all need them.
        """
        # Before `preload`, which has the collector pass over what is there by then.
        self.modules[:0] = [module for module in modules if module not in self.modules]
        if self.context().get_start_method() == "forkserver":
            from multiprocessing import forkserver, resource_tracker

            # Ctrl-C reaches the whole group, and the template ignores it only after its imports: it is born deaf to it.
            resource_tracker.ensure_running()
            blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
            atexit.register(self.end)

    def context(self) -> BaseContext:
        """How processes are started from it."""
        # Forking a process that has loaded torch is unsafe on macOS: there every worker imports for itself.
        context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if context.get_start_method() == "forkserver":
            context.set_forkserver_preload(self.modules)
        return context

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Around whatever starts a process from it.

        Raises:
            ProcessStartError: there is none, for the reason given.
            RunStoppedError: it was given up, since the run is to stop.
        """
        try:
            yield
        except (EOFError, OSError, RuntimeError) as error:
            if self.given_up:
                raise self.given_up from None
            # Its own words for it are lost on the way; it may hang up before or after it was told what to start.
            if isinstance(error, (EOFError, BrokenPipeError, ConnectionResetError)):
                reason = "the system started none, as when memory or the number of processes is exhausted"
            else:  # a RuntimeError: the system starts no thread
                reason = getattr(error, "strerror", None) or str(error)
            raise ProcessStartError(f"no worker process can be started: {reason}.") from error
        self.has_forked = True

    def start_process(self, function: Callable[..., None], *arguments: Any, name: str) -> BaseProcess:
        """Run `function(*arguments)` of an importable module in a process forked from it.

        Raises:
            ProcessStartError, RunStoppedError: as `starting`.
        """
        process: BaseProcess = self.context().Process(target=function, args=arguments, name=name)  # type: ignore[attr-defined]
        with self.starting():
            process.start()
        return process

    def end(self) -> None:
        """Kill it: it would notice the end of this process only after its imports, seconds later."""
        from multiprocessing import forkserver

        process_id = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        if process_id is not None:  # a child that nobody has waited for: its number is still its own
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)


TEMPLATE = Template()


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
        while not TEMPLATE.has_forked and not self._ending.wait(_WATCH_SECONDS):
            try:
                self._check()
            except RunStoppedError as error:
                TEMPLATE.given_up = error
                TEMPLATE.end()  # and again, where whoever wants a process has it started anew

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        TEMPLATE.given_up = None


def survive_failed_forks() -> None:
    """In the template: have it refuse one process, and not end, when the system forks no more.

    Python's fork server ends when a fork fails, and with it goes the sight of every process that it has forked: all of
    them count as dead then. Called once, by what the template imports.
    """
    template, fork, receive = os.getpid(), os.fork, reduction.recvfds
    received: list[int] = []

    def receive_and_note(*arguments: Any) -> list[int]:
        received[:] = receive(*arguments)
        return list(received)

    def fork_or_refuse() -> int:
        try:
            return fork()
        except OSError as error:
            if os.getpid() != template:
                raise
            for descriptor in received:  # whoever asked then reads that there is no process
                os.close(descriptor)
            # The one error that the fork server goes on after.
            raise ConnectionAbortedError(errno.ECONNABORTED, f"cannot fork: {error.strerror}") from error

    os.fork = fork_or_refuse
    reduction.recvfds = receive_and_note  # type: ignore[assignment]


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

    Once the template is gone, starting a worker raises `ProcessStartError`.
    """
    from multiprocessing import forkserver, resource_tracker

    server: Any = forkserver._forkserver
    if server._forkserver_address and server._forkserver_pid is None:
        server.ensure_running = resource_tracker.ensure_running
