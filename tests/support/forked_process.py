"""A program that runs in a process forked from a template, with what `subprocess.Popen` shows of one."""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.connection import Connection, wait
from multiprocessing.context import set_spawning_popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from fedforge_runtime.processes.child import Child

Output = Path | Connection


class ForkedProcess:
    """Started by `start`, which is told what is to be its standard output and its standard error.

    Args:
        own_errors: whether its standard error is to be read here; else it is where this process's goes now.
    """

    def __init__(self, start: Callable[[Output, Output], BaseProcess], *, own_errors: bool) -> None:
        self._lock, self._unasked = threading.Lock(), threading.Lock()
        output, output_end = multiprocessing.Pipe(duplex=False)
        if own_errors:
            errors, errors_end = multiprocessing.Pipe(duplex=False)
        else:
            errors, errors_end = None, Connection(os.dup(sys.stderr.fileno()), readable=False)
        self._process = start(output_end, errors_end)
        output_end.close()
        errors_end.close()
        self.stdout = os.fdopen(os.dup(output.fileno()))
        self.stderr = os.fdopen(os.dup(errors.fileno())) if errors else None

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    end = Child.end


@contextmanager
def become(arguments: Sequence[str], environment: Mapping[str, str], output: Output, errors: Output) -> Iterator[None]:
    """In a forked process: have the block run as a program of its own, started with these arguments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Those of the template's objects, hundreds of torch's among them, are no matter of a program that begins here.
    weakref.finalize._registry.clear()
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    for target, number in ((output, 1), (errors, 2)):
        with target.open("wb") if isinstance(target, Path) else target as opened:
            os.dup2(opened.fileno(), number)
    # The former ones remember what kind of file theirs was.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    sys.modules["__main__"] = ModuleType("__main__")  # so that what it starts loads nothing of pytest
    sys.argv = list(arguments)
    try:
        yield
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()


class Template:
    """A process that has loaded some modules, from which others are forked; it ends with this one."""

    def __init__(self, *modules: str) -> None:
        self._server = forkserver.ForkServer()
        self._server.set_forkserver_preload(list(modules))

    def start(self, function: Callable[..., None], *arguments: object, name: str) -> BaseProcess:
        """Run `function(*arguments)` of an importable module."""
        process = multiprocessing.get_context("forkserver").Process(target=function, args=arguments, name=name)
        server = self._server

        class Popen(popen_forkserver.Popen):
            def _launch(self, process_obj: BaseProcess) -> None:  # as there, but for whose template it is
                del process_obj._Popen  # which cannot be told
                told = io.BytesIO()
                set_spawning_popen(self)
                try:
                    reduction.dump(spawn.get_preparation_data(process_obj.name), told)
                    reduction.dump(process_obj, told)
                finally:
                    set_spawning_popen(None)
                self.sentinel, end = server.connect_to_new_process(self._fds)
                owner_end = os.dup(end)  # what the other notices the end of this process by
                self.finalizer = util.Finalize(self, util.close_fds, (owner_end, self.sentinel))
                with open(end, "wb") as stream:
                    stream.write(told.getbuffer())
                self.pid = forkserver.read_signed(self.sentinel)

        process._Popen = Popen
        process.start()
        return process
