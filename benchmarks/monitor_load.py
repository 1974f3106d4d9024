"""A sender or a reader of a monitor's events, in a process of its own: the benchmark's end of it, and its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from benchmarks.figures import Results
from benchmarks.product import CommandFailedError
from benchmarks.subject import REPOSITORY

_READY = "ready"
_LONGEST_SECONDS = 600.0
"""That a load process may take after everybody else is done."""
_ERROR_CHARACTERS = 2000


class LoadProcess:
    """A program of `benchmarks.monitor_senders` or `benchmarks.monitor_readers`; it is ended with the block.

    Args:
        module: where the program is.
        program: its name there.
        arguments: what it is given.
    """

    def __init__(self, module: str, program: str, **arguments: str | float) -> None:
        self._name = f"{module} {program}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, program, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=REPOSITORY,
        )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        """Raises `CommandFailedError` when it ends instead."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != _READY:
            raise self._failure()

    def begin(self) -> None:
        """Let it do its work."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def check(self) -> None:
        """Raise `CommandFailedError` when it has ended because it has found something wrong."""
        if self._process.poll():
            raise self._failure()

    def result(self) -> Any:
        """Wait for its end, and return its figures.

        Raises:
            CommandFailedError: it has found something wrong, or does not end.
        """
        try:
            output, _ = self._process.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._failure() from error
        self.check()
        return json.loads(output)

    def _failure(self) -> CommandFailedError:
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        written = self._errors.read().decode(errors="replace")[-_ERROR_CHARACTERS:].strip()
        return CommandFailedError(f"{self._name} ended with {code}. {written}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def run_program(programs: Mapping[str, Callable[..., Results]]) -> None:
    """The other end of `LoadProcess`: do what the command line says, and print the figures."""
    program, arguments = sys.argv[1:]
    print(json.dumps(programs[program](**json.loads(arguments))))


def say_ready() -> None:
    """Called in a load process whose work may begin."""
    print(_READY, flush=True)


def wait_to_begin() -> None:
    """Called in a load process once it is ready; ends it when the benchmark is no more."""
    say_ready()
    if not sys.stdin.readline():
        sys.exit(1)
