"""Exceptions from an audit: a person's decision that a finding of these very data may stand.

They are kept by the fingerprint of the data, so that other data do not inherit them, and for the number that was
found then, so that more of the same is not covered.
"""

from __future__ import annotations

from collections.abc import Iterable

from filelock import FileLock
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import DataError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home

_VERSION = 1


class AuditException(TypedDict):
    """One decision."""

    finding: str
    count: int
    """How many were found when it was made; more are not covered."""
    reason: str
    by: str
    at: str
    """UTC, ISO 8601."""


_EXCEPTION = TypeAdapter(AuditException)


def read_exceptions(home: Home, fingerprint: str) -> list[AuditException]:
    """The decisions about the data with this fingerprint, oldest first.

    Raises:
        DataError: the file is broken.
    """
    file = home.audit_exceptions(fingerprint)
    if not file.is_file():
        return []
    try:
        document = read_json(file)
        if document["version"] != _VERSION or document["fingerprint"] != fingerprint:
            raise ValueError("another version or other data")
        return [_EXCEPTION.validate_python(each) for each in document["exceptions"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"the audit exceptions in {file} cannot be read ({error}).",
            remedy="Restore the file, or delete it to decide anew.",
        ) from error


def add_exceptions(home: Home, fingerprint: str, counts: Iterable[tuple[str, int]], *, reason: str, by: str) -> None:
    """Record that findings, with their counts, are allowed.

    Raises:
        StorageError: the home cannot be written.
    """
    file = home.audit_exceptions(fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            decided = {"reason": reason, "by": by, "at": utc_now().isoformat(timespec="seconds")}
            new = ({"finding": finding, "count": count, **decided} for finding, count in counts)
            exceptions = [*read_exceptions(home, fingerprint), *new]
            write_json(file, {"version": _VERSION, "fingerprint": fingerprint, "exceptions": exceptions})
    except OSError as error:
        raise explain(error, file.parent) from error


def covering(exceptions: Iterable[AuditException], finding: str, count: int) -> AuditException | None:
    """The newest exception that covers `count` of a finding."""
    newest_first = reversed(list(exceptions))
    return next((each for each in newest_first if each["finding"] == finding and count <= each["count"]), None)
