"""What can go wrong in the monitor, for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class MonitorError(Exception):
    """One line that names the cause, and one that names the remedy.

    Args:
        message: what is wrong, ends with a full stop.
        remedy: what to do about it.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        stop = "" if message.endswith(".") or not self.remedy else "."
        return f"{message}{stop} {self.remedy}".strip()


class DatabaseError(MonitorError):
    """The database cannot be opened, read or written now; nothing of the request was kept."""


class OverloadedError(MonitorError):
    """More is waiting to be written than may wait."""


def first_error(errors: Sequence[Mapping[str, Any]], name: str = "") -> str:
    """What pydantic found, in one line: the first field that is wrong, and why.

    Args:
        name: of the whole, where no field is to blame.
    """
    field = ".".join(str(part) for part in errors[0]["loc"]) or name
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{field}: {errors[0]['msg']}{more}"[:500]
