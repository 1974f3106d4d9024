"""What the SuperLink's middleware has in common: the shapes of ASGI, and small requests as a whole."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def header_of(scope: Scope, name: str) -> bytes:
    """The value of a request's header; empty where it has none."""
    wanted = name.lower().encode()
    return next((value for key, value in scope.get("headers", ()) if key.lower() == wanted), b"")


async def answer_json(send: Send, status: int, document: Any) -> None:
    """Answer a request with a document."""
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
    await _answer(send, start, json.dumps(document).encode())


async def _answer(send: Send, start: Mapping[str, Any], body: bytes) -> None:
    await send({**start, "headers": [*start["headers"], (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Exchange:
    """A small request, and the application's answer to it, both whole."""

    request: bytes
    start: dict[str, Any]
    answer: bytes

    @classmethod
    async def of(cls, app: AsgiApp, scope: Scope, receive: Receive) -> Exchange:
        parts, start, answer = [], {}, []

        async def hear() -> Any:
            message = await receive()
            parts.append(message.get("body", b""))
            return message

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                answer.append(message.get("body", b""))

        await app(scope, hear, say)
        return cls(b"".join(parts), start, b"".join(answer))

    @property
    def succeeded(self) -> bool:
        return self.start.get("status") == 200

    async def give(self, send: Send) -> None:
        headers = [(name, value) for name, value in self.start.get("headers", ()) if name.lower() != b"content-length"]
        await _answer(send, {**self.start, "headers": headers}, self.answer)
