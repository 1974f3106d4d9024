"""Who may talk to the monitor: the pages of its own origin, under its own name, and with the token where one is set.

A browser sends any page's requests to 127.0.0.1. It names the page in `Origin`, and the name it was led to in `Host`;
neither can be forged by a page, so that another page cannot start a run, nor rebind a name of its own to this machine.
Behind a proxy on the same machine everybody comes from 127.0.0.1: what was forwarded is nobody's without the token.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from monitor.rights import emitter_may
from monitor.sessions import Caller, Right, Sessions
from monitor.settings import Settings, is_loopback
from monitor.shapes import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/api/health", "/api/ready")
"""What a container's health check asks without the token."""
_GREETING = ("/api/session", "GET")
"""Whether a token is needed at all."""
_GUARDED = ("api", "metrics")
"""What needs it; the pages of the dashboard, which ask for it, show nothing without."""
_READING = ("GET", "HEAD", "OPTIONS")
_GUESS_SECONDS = 0.25
"""That a wrong token costs, one after the other."""
_FORWARDED = ("forwarded", "x-real-ip", "via")
_POLICY_VIOLATION = 1008


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign origins, missing tokens and large bodies."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._guessing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._wrong_way(headers)
        if refusal is None:
            caller = self._caller(headers)
            if caller is not None and (caller.name is not None or "origin" in headers):
                caller = replace(caller, by_browser=True)
            scope["caller"] = caller
            refusal = self._no_right(scope, headers, caller)
            if caller is None and _token_of(headers):
                async with self._guessing:
                    await asyncio.sleep(_GUESS_SECONDS)
        if refusal is None:
            await self._with_limited_body(scope, headers, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal[1][:120]})
        else:
            await _answer(send, *refusal)

    def _wrong_way(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Why whoever asks, and for whatever, does not ask from a page or under a name of this monitor."""
        host = _name(headers.get("host", ""))
        if not (is_loopback(host) or host == self._settings.host or host in self._settings.hosts):
            return 421, f"this monitor is not asked for as {host[:80]!r}. Start it with --allow-host for that name."
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, headers) and origin not in self._settings.origins:
            return 403, f"a page of {origin[:80]!r} may not use this monitor. Start it with --allow-origin for it."
        return None

    def _caller(self, headers: dict[str, str]) -> Caller | None:
        """Who asks; `None` of a stranger."""
        token, ingest = self._settings.token, self._settings.ingest_token
        if token is None:
            return None if _is_forwarded(headers) else Sessions(None).caller(headers) or Caller(Right.OPERATOR)
        given = _token_of(headers)
        if not given:
            return Sessions(token).caller(headers)
        if secrets.compare_digest(given.encode(), token.encode()):
            return Caller(Right.OPERATOR)
        if ingest is not None and secrets.compare_digest(given.encode(), ingest.encode()):
            return Caller(Right.EMITTER)
        return None

    def _no_right(self, scope: Scope, headers: dict[str, str], caller: Caller | None) -> tuple[int, str] | None:
        """Why this is not for whoever asks."""
        path, method = scope["path"], scope.get("method", "GET")
        if path in _OPEN or (path, method) == _GREETING or not path.lstrip("/").startswith(_GUARDED):
            return None
        if caller is None and self._settings.token is None:
            return 401, (
                "this request came through a proxy, and the monitor has no token to tell whose it is. Set "
                "FEDFORGE_MONITOR_TOKEN and start it with --behind-proxy."
            )
        if caller is None:
            return 401, (
                "this monitor needs its token. Set FEDFORGE_MONITOR_TOKEN to it for `fedforge`, sign in with it on a "
                "page of the monitor, or send the header `Authorization: Bearer TOKEN`."
            )
        if caller.right is Right.EMITTER and (scope["type"] == "websocket" or not emitter_may(method, path)):
            return 403, (
                "the token of emitters (FEDFORGE_MONITOR_INGEST_TOKEN) delivers events and takes up what is asked for. "
                "This is for operators: FEDFORGE_MONITOR_TOKEN."
            )
        changes = scope["type"] == "websocket" or method not in _READING
        if caller.name is not None and changes and "origin" not in headers:
            return 403, "a session is for the monitor's own pages. Send the header `Authorization: Bearer TOKEN`."
        return None

    @staticmethod
    def _is_own(origin: str, headers: dict[str, str]) -> bool:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()

    async def _with_limited_body(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        largest, patience = self._settings.largest_body, self._settings.patience_seconds
        too_large = 413, f"a request may have {largest:,} bytes. Send less at once."
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > largest:
            await _answer(send, *too_large)
            return
        size = 0
        whole = scope["type"] == "websocket"

        async def limited() -> Message:
            nonlocal size, whole
            try:
                async with asyncio.timeout(None if whole else patience):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"nothing more of the request came within {patience:g} s.") from error
            size += len(message.get("body", b""))
            whole = whole or not message.get("more_body", False)
            if size > largest:
                raise HTTPException(*too_large)
            return message

        await self._app(scope, limited, send)


def _is_forwarded(names: Iterable[str]) -> bool:
    """Whether headers of these names, in lower case, say that somebody else asks than the machine at the other end."""
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in names)


def _name(host: str) -> str:
    """A `Host` header without its port."""
    return (host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).lower()


def _token_of(headers: dict[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ").strip()


async def _answer(send: Send, code: int, error: str) -> None:
    body = Problem(error=error).model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
