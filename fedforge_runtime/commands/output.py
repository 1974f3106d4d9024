"""How a command gives its result: for people, or as one JSON object."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

_debug = False


@contextmanager
def command(*, as_json: bool, debug: bool) -> Iterator[Callable[[Any, Callable[[Any], None]], None]]:
    """Give the command a way to print its result: as JSON, or by the function that draws it for people.

    With `--json`, whatever anything else writes to standard output goes to standard error.
    """
    global _debug
    _debug = debug
    if not as_json:
        yield lambda value, draw: draw(value)
        return
    sys.stdout.flush()
    real_output = os.dup(1)
    os.dup2(2, 1)
    result: list[Any] = []
    try:
        yield lambda value, draw: result.append(value)
    finally:
        sys.stdout.flush()
        os.dup2(real_output, 1)
        os.close(real_output)
    typer.echo(json.dumps(result[0], indent=2, allow_nan=False))


def fail(message: str, exit_code: int) -> NoReturn:
    """End the process with one line on standard error, after the traceback when `--debug` was given."""
    if _debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(exit_code)
