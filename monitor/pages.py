"""The dashboard as it was built, from the monitor's own origin: its files, and one page for all of its addresses.

It takes what no route of the API takes. It is open to everybody, as it shows nothing without the API, which is not.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocketClose

from monitor.settings import NO_DASHBOARD

Message = MutableMapping[str, Any]

_INDEX = "index.html"
_ASSETS = "assets"
"""The folder of files whose names change with what is in them."""
_NO_PAGES = ("api", "metrics", _ASSETS)
_WITH_NAMES = ("runs", "sites", "start", "compare")
"""Pages whose addresses may go on with the name of something, which may have dots."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

# Not those of the machine: where it takes a script for plain text, a browser that may not guess runs nothing.
_TEXTS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
}
_OTHERS = {".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".woff": "font/woff"}
_UNKNOWN = "application/octet-stream"
_SMALL_BYTES = 1024
"""What has no more is one packet, compressed or not."""
_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class Pages:
    """ASGI application for whatever is not the API's.

    Args:
        folder: the built dashboard; without it every page says that there is none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        file = await run_in_threadpool(self._find, path)
        if file is None and not _is_page(path):
            raise HTTPException(404, f"there is nothing at {path[:200]!r}.", headers=HEADERS)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, "pages are only read.", headers={"Allow": "GET, HEAD"})
        response = HTMLResponse(_absent(), 404, HEADERS) if file is None else _answer(path, file, headers)
        await response(scope, receive, send)

    def _find(self, path: str) -> _File | None:
        """What is at a path; `None` where that is nothing that was built."""
        if self._folder is None:
            return None
        try:
            found = (self._folder / (_INDEX if _is_page(path) else path.lstrip("/"))).resolve()
            if found.is_relative_to(self._folder) and found.is_file():  # wherever dots and links lead
                status = found.stat()
                return _read(found, status.st_mtime_ns, status.st_size)
        except (OSError, RuntimeError, ValueError):  # no name of a file, a link to itself, or it has gone meanwhile
            pass
        return None


@dataclass(frozen=True)
class _File:
    """A file with what is sent of it.

    Args:
        zipped: where that is worth it.
        digest: of the bytes, which names them.
    """

    body: bytes
    zipped: bytes | None
    digest: str
    media_type: str


@lru_cache(maxsize=256)
def _read(file: Path, modified: int, size: int) -> _File:
    """Read and compress a file once, until it is another."""
    body, suffix = file.read_bytes(), file.suffix.lower()
    worth = suffix in _TEXTS and len(body) > _SMALL_BYTES
    return _File(
        body,
        gzip.compress(body, mtime=0) if worth else None,
        hashlib.sha256(body).hexdigest()[:32],
        _TEXTS.get(suffix) or _OTHERS.get(suffix, _UNKNOWN),
    )


def _first(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


def _is_page(path: str) -> bool:
    """Whether an address is one of the dashboard's own, which one page answers; else it is that of a file.

    The names of runs may have dots. Elsewhere a dot means a file, so that one that is missing is not taken for a page.
    """
    first = _first(path)
    return first in _WITH_NAMES or (first not in _NO_PAGES and "." not in path)


def _answer(path: str, file: _File, asked: Headers) -> Response:
    takes = asked.get("accept-encoding", "")
    zipped = file.zipped if "gzip" in takes and not _NO_GZIP.search(takes) else None
    tag = f'"{file.digest}-gzip"' if zipped else f'"{file.digest}"'
    headers = HEADERS | {"ETag": tag}
    if file.zipped:
        headers["Vary"] = "Accept-Encoding"
    if _first(path) == _ASSETS:
        headers |= _FOR_EVER
    if tag in (each.strip().removeprefix("W/") for each in asked.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(zipped or file.body, media_type=file.media_type, headers=headers)


def _absent() -> str:
    words = escape(f"There is {NO_DASHBOARD}.")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>FedForge monitor</title>'
        f'<p>{words}<p>The rest works: <a href="/api/docs">the API</a>, and <code>fedforge watch RUN_ID</code>.</html>'
    )
