"""Cursors of pages: where the next one begins, in a form that readers only hand back."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime

from monitor.errors import MonitorError

_DIGITS = 9


class CursorError(MonitorError):
    """A cursor that this monitor has not given."""


def make_cursor(position: Sequence[str]) -> str:
    """The cursor of a position."""
    return base64.urlsafe_b64encode(json.dumps(list(position)).encode()).decode()


def read_cursor(cursor: str, length: int) -> list[str]:
    """The position of a cursor, of so many parts.

    Raises:
        CursorError: it is not of this monitor.
    """
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError) as error:
        raise _bad_cursor(cursor) from error
    if not isinstance(position, list) or len(position) != length or not all(isinstance(each, str) for each in position):
        raise _bad_cursor(cursor)
    return position


def moment_of(text: str) -> datetime:
    """A part of a position that is a moment."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad_cursor(text) from error


def number_of(cursor: str) -> int:
    """A position that is one number."""
    text = read_cursor(cursor, 1)[0]
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise _bad_cursor(cursor)
    return int(text)


def _bad_cursor(cursor: str) -> CursorError:
    return CursorError(f"{cursor[:80]!r} is not a cursor of this monitor.", remedy="Begin again without one.")
