"""What the operating system or the network refused, in words that a person can act on: each kind has its own."""

from __future__ import annotations

import errno
import os
import pwd
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.errors import (
    DataError,
    FedForgeError,
    NetworkError,
    ResourceError,
    StorageError,
    cause_in_words,
)

_ELSEWHERE = "choose another folder (for the home: --home DIR or FEDFORGE_HOME)"


@dataclass(frozen=True)
class _Kind:
    """What is said of some error numbers.

    Args:
        message: with `{file}`, the file or `below` its folder, `{why}`, the system's own words, and `{user}`.
    """

    error: type[FedForgeError]
    message: str
    remedy: str


_PORT_TAKEN = _Kind(NetworkError, "cannot listen: {why}.", "Choose another port, or end who listens there.")
_NOT_REACHED = _Kind(NetworkError, "a connection failed: {why}.", "See that the other side runs and can be reached.")
_BROKEN_IMAGE = _Kind(DataError, "an image {file} is broken: {why}.", "Restore the data; fedforge audit finds such.")
_OTHER = _Kind(FedForgeError, "the operating system refused to open, read or write {file}: {why}.", "")

_KINDS: dict[int, _Kind] = {
    number: kind
    for numbers, kind in (
        (
            (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
            _Kind(StorageError, "cannot write {file}: {why}.", f"Free some space, or {_ELSEWHERE}."),
        ),
        (
            (errno.EROFS,),
            _Kind(StorageError, "cannot write {file}: {why}.", f"Mount that disk writable, or {_ELSEWHERE}."),
        ),
        (
            (errno.EACCES, errno.EPERM),
            _Kind(
                StorageError,
                "the user {user} may not open {file}: {why}.",
                f"Give this user the right to it, or {_ELSEWHERE}.",
            ),
        ),
        (
            (errno.EIO, errno.ESTALE),
            _Kind(StorageError, "cannot use {file}: {why}.", f"See whether the disk is sound, or {_ELSEWHERE}."),
        ),
        ((errno.ENOENT,), _Kind(StorageError, "cannot find {file}: {why}.", "Restore it, or name another.")),
        (
            (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP),
            _Kind(StorageError, "cannot open {file}: {why}.", f"Move away what is in the way, or {_ELSEWHERE}."),
        ),
        (
            (errno.ENAMETOOLONG,),
            _Kind(StorageError, "cannot open {file}: {why}.", "Give a shorter name, or a folder with a shorter path."),
        ),
        (
            (errno.EMFILE, errno.ENFILE),
            _Kind(ResourceError, "cannot open {file}: {why}.", "Raise the limit (ulimit -n 4096) and begin again."),
        ),
        (
            (errno.ENOMEM, errno.EAGAIN),
            _Kind(
                ResourceError,
                "the system has no memory or no process left to give: {why}.",
                "End other programs, raise the limit (ulimit -u), or take fewer workers: --set runtime.workers=1",
            ),
        ),
        ((errno.EADDRINUSE,), _PORT_TAKEN),
    )
    for number in numbers
}
_NETWORK = {
    errno.EADDRNOTAVAIL,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
_HTTP_CLIENTS = {"httpcore", "httpx", "requests", "urllib3"}


def explained(error: BaseException, place: Path | None = None) -> FedForgeError | None:
    """What the system's refusal behind `error` means; `None` when `error` is about something else.

    Args:
        place: the folder that was worked in, named where the error names no file.
    """
    if isinstance(error, FedForgeError):
        return None
    refusal = next((each for each in _behind(error) if isinstance(each, OSError)), None)
    if refusal is None:
        return _said(_NOT_REACHED, error, place) if _is_of_http_client(error) else None
    return explain(refusal, place)


def explain(error: OSError, place: Path | None = None) -> FedForgeError:
    """`explained` of what is known to be a refusal."""
    refusal = next((each for each in _behind(error) if isinstance(each, OSError)), error)
    return _said(_kind_of(refusal), refusal, place)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error itself, or that which a library hides in its text or its fields."""
    if type(error).__name__ == "SafetensorError":
        number = re.search(r"\(os error (\d+)\)", str(error))
        yield OSError(int(number[1]), os.strerror(int(number[1]))) if number else error
    elif isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        file, _, words = error.args[0][0]  # of the files that were not copied, the first
        number = re.search(r"\[Errno (\d+)\]", str(words))
        yield OSError(int(number[1]), os.strerror(int(number[1])), str(file)) if number else error
    elif isinstance(inner := getattr(error, "reason", None), OSError):  # of urllib
        yield from _behind(inner)
    else:
        yield error


def _kind_of(error: OSError) -> _Kind:
    if isinstance(error, (socket.gaierror, ssl.SSLError)) or _is_of_http_client(error):
        return _NOT_REACHED
    if error.errno is not None:
        return _NOT_REACHED if error.errno in _NETWORK else _KINDS.get(error.errno, _OTHER)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return _NOT_REACHED
    if type(error).__name__ == "UnidentifiedImageError" or "image file" in str(error):
        return _BROKEN_IMAGE  # Pillow's own, and what it says of one that is cut short
    return _OTHER


def _is_of_http_client(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in _HTTP_CLIENTS for kind in type(error).__mro__)


def _said(kind: _Kind, error: BaseException, place: Path | None) -> FedForgeError:
    text = kind.message.format(file=_file_of(error, place), why=_reason(error), user=_user()).replace(" :", ":")
    if kind in (_NOT_REACHED, _PORT_TAKEN) and (address := _address_of(error)):
        text = f"{text[:-1]} ({address})."
    return kind.error(text, remedy=kind.remedy)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a number without a name, as in a container
        return str(os.geteuid())


def _file_of(error: BaseException, place: Path | None) -> str:
    name = getattr(error, "filename", None)
    if isinstance(name, (str, bytes, os.PathLike)) and os.fspath(name):
        return os.fsdecode(name)
    return f"below {place}" if place else ""


def _reason(error: BaseException) -> str:
    return re.sub(r" ?<_io\.\w+ object at 0x[0-9a-f]+>", "", cause_in_words(error)).rstrip(".")


def _address_of(error: BaseException) -> str:
    """What an HTTP client had asked for."""
    try:
        return str(getattr(getattr(error, "request", None), "url", "") or "")
    except RuntimeError:  # httpx's, where no request is known
        return ""
