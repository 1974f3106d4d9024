"""One file from an HTTP server into a part file, from where an earlier transfer broke off (RFC 9110, section 14).

What is known of the server's file lies beside the part: the validator that `If-Range` is asked with, so that a file
that has changed there begins again, and its size.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import BaseModel

from fedforge_runtime.storage.artifacts import write_json

_WORTH_TELLING_BYTES = 200_000_000
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


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
        return known is not None and known.size is not None and known.size == self.bytes

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
            known = self._known()
            if known and known.validator:
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
                size = _number(response.headers.get("Content-Length"))
            self._remember(_Known(validator=_validator(response.headers), size=size))
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

    def _remember(self, known: _Known) -> None:
        write_json(self._record, known.model_dump(mode="json"))


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


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
