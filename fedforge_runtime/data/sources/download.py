"""The official archives, downloaded into the home folder; a download that breaks off goes on where it was.

A file comes into a part file, from where an earlier transfer broke off (RFC 9110, section 14). What is known of the
server's file lies beside the part: the validator that `If-Range` is asked with, so that a file that has changed there
begins again, and its size.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import FileLock
from pydantic import BaseModel

from fedforge_runtime.data.sources.archive import identify
from fedforge_runtime.data.sources.catalogue import OfficialArchive
from fedforge_runtime.errors import DataError, DownloadError, UnreachableError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.storage.artifacts import write_json
from fedforge_runtime.storage.home import Home

ANSWER_SECONDS = 10.0
"""How long the archive's host may take to answer at all."""
SILENCE_SECONDS = 30.0
"""How long a transfer may stand still."""
_GOES_ON = 3
"""How often one command goes on with a transfer that broke off, as long as something comes."""
_WORTH_TELLING_BYTES = 200_000_000
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


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
    answer: Future[httpx.Response] = Future()

    def ask() -> None:
        try:
            with open_client(answer_seconds=ANSWER_SECONDS, silence_seconds=ANSWER_SECONDS) as client:
                # Whatever it answers: whether it gives the file, the download will show.
                answer.set_result(client.head(official.url))
        except BaseException as error:
            answer.set_exception(error)

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
    with part.path.open("rb") as stream:
        os.fsync(stream.fileno())
    part.path.replace(final)
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


class RefusedTransferError(Exception):
    """The server answered, and gave nothing of the file."""


class _Known(BaseModel):
    validator: str | None
    """A strong ETag, or the time of the last modification."""
    size: int | None
    """Of the whole file, in bytes."""


@dataclass(frozen=True)
class Part:
    """What is there of a file that is being transferred.

    Args:
        path: of its bytes so far.
    """

    path: Path

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def is_complete(self) -> bool:
        known = self._known()
        return known is not None and known.size == self.bytes

    def remove(self) -> None:
        """Forget it all."""
        self._record.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def fetch(self, client: httpx.Client, url: str, *, say: Callable[[int, int], None]) -> None:
        """Get what is missing.

        Args:
            say: told of the bytes that are there and of all, from time to time, where that takes long.

        Raises:
            httpx.TransportError: it broke off; what came is kept.
            RefusedTransferError: the server does not give it.
        """
        if self.is_complete or self._asked(client, url, self.bytes, say):
            return
        self.remove()  # what is here fits no part of what the server has
        if not self._asked(client, url, 0, say):
            raise RefusedTransferError("it does not answer what it was asked for")

    def _asked(self, client: httpx.Client, url: str, start: int, say: Callable[[int, int], None]) -> bool:
        """Ask for the bytes from `start`, and keep them; `False` where the answer does not continue them."""
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if (known := self._known()) and known.validator:
                headers["If-Range"] = known.validator
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                return False
            if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                raise RefusedTransferError(f"it answered HTTP {response.status_code}")
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                sent = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if sent is None or int(sent[1]) != start:
                    return False
                size = int(sent[2]) if sent[2] != "*" else None
            else:
                self.remove()
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() else None
            known = _Known(validator=_validator(response.headers), size=size)
            write_json(self._record, known.model_dump(mode="json"))
            self._keep(response, size, say)
        return True

    def _keep(self, response: httpx.Response, size: int | None, say: Callable[[int, int], None]) -> None:
        total = size if size is not None and size >= _WORTH_TELLING_BYTES else 0
        with self.path.open("ab", buffering=0) as stream:  # what has come outlives this process
            told = stream.tell() * 10 // total if total else 0
            for block in response.iter_raw():  # as it comes: blocks of one size would be lost with the last
                stream.write(block)
                if total and (tenths := stream.tell() * 10 // total) > told:
                    told = tenths
                    say(stream.tell(), total)

    @property
    def _record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _known(self) -> _Known | None:
        try:
            return _Known.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return None


def open_client(*, answer_seconds: float, silence_seconds: float) -> httpx.Client:
    """A client that trusts whom the system trusts, and goes by the proxies of the environment.

    Args:
        answer_seconds: how long a connection may take.
        silence_seconds: how long a transfer may stand still.
    """
    return httpx.Client(
        verify=ssl.create_default_context(),
        follow_redirects=True,
        timeout=httpx.Timeout(silence_seconds, connect=answer_seconds),
    )


def _validator(headers: httpx.Headers) -> str | None:
    etag: str | None = headers.get("ETag")
    modified: str | None = headers.get("Last-Modified")
    return etag if etag and not etag.startswith("W/") else modified
