"""The shapes of ASGI that the SuperLink's middleware uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def header_of(scope: Scope, name: str) -> bytes:
    """The value of a request's header; empty where it has none."""
    wanted = name.lower().encode()
    return next((value for key, value in scope.get("headers", ()) if key.lower() == wanted), b"")
