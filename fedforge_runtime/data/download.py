"""The official archives, downloaded by the `medmnist` package into the home folder."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock

from fedforge_runtime.data.catalogue import OfficialArchive
from fedforge_runtime.data.identity import identify
from fedforge_runtime.errors import DataError
from fedforge_runtime.home import Home
from fedforge_runtime.system_errors import explain

ANSWER_SECONDS = 10.0
"""How long the archive's host may take to answer at all."""
SILENCE_SECONDS = 30.0
"""How long a transfer may stand still."""


class UnreachableError(DataError):
    """The archive's host gave nothing: no network, no answer, or a refusal."""


def official_file(official: OfficialArchive, *, home: Home, notify: Callable[[str], None]) -> Path:
    """The archive in the home folder, downloaded when it is absent.

    A file that is there already is returned as it is: whoever reads it verifies it, with `refuse_if_altered`.

    Raises:
        UnreachableError: the host cannot be reached.
        DataError: what arrived is cut short or is not the published file; nothing of it is kept.
        StorageError: the home is full or cannot be written.
    """
    final = home.data / official.file_name
    if final.is_file():
        return final
    _require_answer(official)
    try:
        home.data.mkdir(parents=True, exist_ok=True)
        with FileLock(home.data / f".{official.file_name}.lock"):
            if not final.is_file():
                notify(f"Downloading {official.title} ({official.size} px) from {official.host} to {final}.")
                with _temporary_folder(home.data / f".{official.file_name}.download") as temporary:
                    _publish(_download(official, temporary), final)
    except OSError as error:
        raise explain(error, home.data) from error
    return final


def refuse_if_altered(path: Path, md5: str, official: OfficialArchive) -> None:
    """Move `path` aside and raise `DataError` unless `md5` is the published checksum."""
    if md5 == official.md5:
        return
    aside = path.with_name(f"{path.name}.broken")
    try:
        path.replace(aside)
    except OSError as error:
        raise explain(error, path.parent) from error
    raise DataError(
        f"{path} is not the published {official.title}: its MD5 is {md5}, expected {official.md5}.",
        remedy=f"It was moved to {aside.name}. Run the command again to download it anew.",
    )


def _require_answer(official: OfficialArchive) -> None:
    """Ask the host for a sign of life, in bounded time; a resolver or a dead route can block for minutes."""
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            urlopen(Request(official.url, method="HEAD"), timeout=ANSWER_SECONDS).close()  # noqa: S310 - a constant
        except HTTPError:
            answer.set_result(None)  # It answers; whether it gives the file, the download will show.
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    threading.Thread(target=ask, name="network-probe", daemon=True).start()
    try:
        answer.result(timeout=ANSWER_SECONDS)
    except TimeoutError as error:
        raise _unreachable(official, f"no answer within {ANSWER_SECONDS:g} seconds") from error
    except (OSError, HTTPException) as error:
        raise _unreachable(official, _reason(error)) from error


def _download(official: OfficialArchive, folder: Path) -> Path:
    """Let `medmnist` fetch and verify the archive in `folder`."""
    import medmnist

    file = folder / official.file_name
    try:
        with _socket_timeout(SILENCE_SECONDS):
            dataset = getattr(medmnist, official.title)
            # It also loads the split that it is asked for; this one is the smallest.
            dataset(split="val", download=True, root=str(folder), size=official.size)
    except RuntimeError as error:
        # `medmnist` turns whatever happened, Ctrl-C too, into this error, and says no more of the cause.
        cause = error.__context__ or error
        if isinstance(cause, RuntimeError):
            raise _altered(official, file) from error
        raise _interrupted(official, cause, file) from None
    return file


def _interrupted(official: OfficialArchive, cause: BaseException, file: Path) -> BaseException:
    network = isinstance(cause, URLError | HTTPException | ConnectionError | TimeoutError | ssl.SSLError)
    if not network:
        return cause  # A disk that is full, Ctrl-C, a request to stop.
    received = file.stat().st_size if file.is_file() else 0
    if received:
        return DataError(
            f"the download of {official.file_name} from {official.host} broke off after {received:,} bytes "
            f"({_reason(cause)}).",
            remedy="Nothing was kept. Run the command again.",
        )
    return _unreachable(official, _reason(cause))


def _altered(official: OfficialArchive, file: Path) -> DataError:
    found = "no file"
    if file.is_file():
        found = f"MD5 {identify(file).md5}, {file.stat().st_size:,} bytes"
    return DataError(
        f"what {official.host} sent as {official.file_name} is cut short or altered: {found}; "
        f"expected MD5 {official.md5}.",
        remedy="Nothing was kept. Run the command again; if it repeats, something on the way alters it.",
    )


def _unreachable(official: OfficialArchive, reason: str) -> UnreachableError:
    return UnreachableError(
        f"{official.title} cannot be downloaded from {official.host}: {reason}.",
        remedy=(
            f"Check the network, or use --data DIR with {official.file_name} in it, "
            "or --data phantom for generated images."
        ),
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"it answered HTTP {error.code}"
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _publish(file: Path, final: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(final)


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """An empty `folder` that is gone afterwards; what a killed download left there goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
