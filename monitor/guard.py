"""Who may talk to the monitor: the pages of its own origin, under its own name, and with the token where one is set.

A browser sends any page's requests to 127.0.0.1. It names the page in `Origin`, and the name it was led to in `Host`;
neither can be forged by a page, so that another page cannot start a run, nor rebind a name of its own to this machine.
Behind a proxy on the same machine everybody comes from 127.0.0.1: what was forwarded is nobody's without the token.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException

from monitor.settings import Settings, is_loopback
from monitor.shapes import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/api/health", "/api/ready")
"""What a container's health check asks without the token; everything else needs it."""
_FORWARDED = ("forwarded", "x-real-ip", "via")
_POLICY_VIOLATION = 1008


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign origins, missing tokens and large bodies."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._with_limited_body(scope, headers, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal[1][:120]})
        else:
            await _answer(send, *refusal)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = _name(headers.get("host", ""))
        if not (is_loopback(host) or host == self._settings.host or host in self._settings.hosts):
            return 421, f"this monitor is not asked for as {host[:80]!r}. Start it with --allow-host for that name."
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, headers) and origin not in self._settings.origins:
            return 403, f"a page of {origin[:80]!r} may not use this monitor. Start it with --allow-origin for it."
        if scope["path"] in _OPEN:
            return None
        token = self._settings.token
        if token is None and _is_forwarded(headers):
            return 401, (
                "this request came through a proxy, and the monitor has no token to tell whose it is. Set "
                "FEDFORGE_MONITOR_TOKEN and start it with --behind-proxy."
            )
        if token is not None:
            given = headers.get("authorization", "").removeprefix("Bearer ").strip() or _token_in_query(scope)
            if not secrets.compare_digest(given.encode(), token.encode()):
                return 401, "this monitor needs its token. Send the header `Authorization: Bearer TOKEN`."
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


def _token_in_query(scope: Scope) -> str:
    """Of a WebSocket, to which a browser can give no header."""
    if scope["type"] != "websocket":
        return ""
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("token", [""])[0]


async def _answer(send: Send, code: int, error: str) -> None:
    body = Problem(error=error).model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
