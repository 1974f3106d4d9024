"""The official archives, downloaded into the home folder; a download that breaks off goes on where it was."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import httpx
from filelock import FileLock

from fedforge_runtime.data.sources.catalogue import OfficialArchive
from fedforge_runtime.data.sources.identity import identify
from fedforge_runtime.data.sources.transfer import Part, RefusedTransferError, open_client
from fedforge_runtime.errors import DataError, DownloadError, UnreachableError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.home import Home

ANSWER_SECONDS = 10.0
"""How long the archive's host may take to answer at all."""
SILENCE_SECONDS = 30.0
"""How long a transfer may stand still."""
_GOES_ON = 3
"""How often one command goes on with a transfer that broke off, as long as something comes."""


Transferred = Callable[[int, int], None]
"""Takes how many bytes of how many are here."""


def untold(done: int, total: int) -> None:
    """Tell nobody how far a download is."""


def official_file(
    official: OfficialArchive, *, home: Home, notify: Callable[[str], None], transferred: Transferred = untold
) -> Path:
    """The archive in the home folder, downloaded when it is absent.

    A file that is there already is returned as it is: whoever reads it verifies it, with `refuse_if_altered`.

    Raises:
        UnreachableError: the host cannot be reached.
        DownloadError: it broke off, and goes on from there the next time; or it is not the published file, and goes.
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
                _download(official, part_of(official, home), final, notify, transferred)
    except OSError as error:
        raise explain(error, home.data) from error
    return final


def part_of(official: OfficialArchive, home: Home) -> Part:
    """What is there of an archive that is being downloaded: its name is that of the address and the checksum."""
    key = hashlib.sha256(f"{official.url} {official.md5}".encode()).hexdigest()[:16]
    return Part(home.data / f".{official.file_name}.{key}.part")


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
            with open_client(answer_seconds=ANSWER_SECONDS, silence_seconds=ANSWER_SECONDS) as client:
                client.head(official.url)  # whatever it answers: whether it gives the file, the download will show
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    threading.Thread(target=ask, name="network-probe", daemon=True).start()
    try:
        answer.result(timeout=ANSWER_SECONDS)
    except TimeoutError as error:
        raise _unreachable(official, f"no answer within {ANSWER_SECONDS:g} seconds") from error
    except (httpx.HTTPError, OSError) as error:
        raise _unreachable(official, _reason(error)) from error


def _download(
    official: OfficialArchive, part: Part, final: Path, notify: Callable[[str], None], transferred: Transferred
) -> None:
    """Fetch what is missing, verify the whole, and put it in its place."""
    known = f", of which {part.bytes:,} bytes are here" if part.bytes else ""
    notify(f"Downloading {official.title} ({official.size} px) from {official.host} to {final}{known}.")
    _fetch(official, part, transferred)
    found = identify(part.path)
    if found.md5 != official.md5:
        part.remove()
        raise DownloadError(
            f"what {official.host} sent as {official.file_name} is cut short or altered: MD5 {found.md5}, "
            f"{found.state[0]:,} bytes; expected MD5 {official.md5}.",
            remedy="Nothing was kept. Run the command again; if it repeats, something on the way alters it.",
        )
    _publish(part.path, final)
    part.remove()


def _fetch(official: OfficialArchive, part: Part, say: Callable[[int, int], None]) -> None:
    """The transfer, which goes on a few times by itself where it breaks off."""
    with open_client(answer_seconds=ANSWER_SECONDS, silence_seconds=SILENCE_SECONDS) as client:
        for left in reversed(range(_GOES_ON)):
            before = part.bytes
            try:
                part.fetch(client, official.url, say=say)
                return
            except RefusedTransferError as error:
                raise _unreachable(official, str(error)) from error
            except httpx.TransportError as error:
                if left and part.bytes > before:
                    continue
                if not part.bytes:
                    part.remove()
                    raise _unreachable(official, _reason(error)) from error
                raise DownloadError(
                    f"the download of {official.file_name} from {official.host} broke off after {part.bytes:,} bytes "
                    f"({_reason(error)}).",
                    remedy="They are kept. Run the command again: it goes on from there.",
                ) from error


def _unreachable(official: OfficialArchive, reason: str) -> UnreachableError:
    return UnreachableError(
        f"{official.title} cannot be downloaded from {official.host}: {reason}.",
        remedy=(
            f"Check the network, or use --data DIR with {official.file_name} in it, "
            "or --data phantom for generated images."
        ),
    )


def _reason(error: BaseException) -> str:
    """In the system's own words, where it has some."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".") or type(error).__name__


def _publish(file: Path, final: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(final)
