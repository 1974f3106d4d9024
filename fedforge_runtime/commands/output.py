"""How a command gives its result: for people, or as one JSON object.

No terminal, pipe or log refuses it for its alphabet: what that does not have is written by its nearest.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from fedforge_runtime.errors import DEFECT, FedForgeError, OutputError, sentences
from fedforge_runtime.errors.system import explained

_NEAREST_LETTERS = "nearest_letters"
_SIGNS = {"–": "-", "—": "-", "→": "->", "×": "x", "·": ".", "•": "*", "⌀": "~", "€": "EUR"} | dict.fromkeys(
    "▏▎▍▌▋▊▉█", "#"
)
_FIRST_LONE_BYTE = 0xDC00
"""How Python holds a byte of a file's name that is no text."""
_tracebacks = False


@contextmanager
def command(*, as_json: bool) -> Iterator[Callable[[Any, Callable[[Any], None]], None]]:
    """Give the command a way to print its result: as JSON, or by the function that draws it for people.

    With `--json`, whatever anything else writes to standard output goes to standard error.
    """
    if not as_json:
        yield _for_people
        return
    sys.stdout.flush()
    real_output = os.dup(1)
    os.dup2(2, 1)

    def emit(value: Any, draw: Callable[[Any], None]) -> None:
        with _taken_by_output(), os.fdopen(os.dup(real_output), "w") as stream:
            stream.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    try:
        yield emit
    finally:
        sys.stdout.flush()
        os.dup2(real_output, 1)
        os.close(real_output)


def _for_people(value: Any, draw: Callable[[Any], None]) -> None:
    with _taken_by_output():
        draw(value)
        sys.stdout.flush()


@contextmanager
def _taken_by_output() -> Iterator[None]:
    """Tell a refusal of the output from one of what the command has done, which is done."""
    try:
        yield
    except BrokenPipeError:  # whoever read it has seen enough
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of it would fail again at the end
        raise OutputError(
            f"the result cannot be written to standard output: {error.strerror or error}.",
            remedy="What the command was asked to do is done; see it with fedforge show, runs or status.",
        ) from error


def show_tracebacks(wanted: bool) -> bool:
    """Have `fail` show where an error comes from, from now on; the callback of `--debug`."""
    global _tracebacks
    _tracebacks = _tracebacks or wanted
    return wanted


def tracebacks_are_shown() -> bool:
    return _tracebacks


def run_guarded(app: Callable[[], object]) -> None:
    """Run a command line to its end: an expected error is one line on standard error and a non-zero exit."""
    take_every_character()
    try:
        app()
    except FedForgeError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted.", 130)
    except Exception as error:
        refusal = explained(error)
        if refusal:
            fail(str(refusal), refusal.exit_code)
        fail(sentences(f"{type(error).__name__}: {error}", DEFECT), 70)


def fail(message: str, exit_code: int) -> NoReturn:
    """End the process with one line on standard error, after the traceback when `--debug` was given."""
    if _tracebacks:
        traceback.print_exc()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(exit_code)


def take_every_character() -> None:
    """Have standard output and standard error write any text, whatever the locale or `PYTHONIOENCODING`."""
    codecs.register_error(_NEAREST_LETTERS, _nearest_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NEAREST_LETTERS)


def _nearest_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_nearest(each) for each in error.object[error.start : error.end]), error.end


def _nearest(character: str) -> str:
    """In ASCII, which every alphabet has."""
    if 0 <= ord(character) - _FIRST_LONE_BYTE <= 0xFF:
        return f"\\x{ord(character) - _FIRST_LONE_BYTE:02x}"
    decomposed = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _SIGNS.get(character) or decomposed or "?"
