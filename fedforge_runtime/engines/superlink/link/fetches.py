"""Which messages nodes have fetched: seen where they come for them, in the SuperLink's process, and told to runs.

Flower tells a run that a node is online, and its answer. What lies between, its own SuperLink does not say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fedforge_runtime.engines.superlink.link.asgi import AsgiApp, Exchange, Receive, Scope, Send, answer_json
from fedforge_runtime.flower import protocol

FETCHES_PATH = "/v1/fedforge/fetched"
"""Asked by a run, with a JSON list of messages; answered with a list of those that were fetched."""
_CONFIRMED = "/v1/fleet/confirm-message-received"
_MOST = 10_000
"""Messages that are remembered: those that were fetched last."""
_MOST_BYTES = 1 << 20
"""Of a question."""


class Fetches:
    """ASGI middleware around a SuperLink: remembers what nodes have confirmed, once Flower took their word for it."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._fetched: dict[str, None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == FETCHES_PATH:
            await self._tell(receive, send)
        elif path == _CONFIRMED:
            await self._hear(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _hear(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = await Exchange.of(self._app, scope, receive)
        if exchange.succeeded:
            self._remember(protocol.ConfirmMessageReceivedRequest.FromString(exchange.request).message_object_id)
        await exchange.give(send)

    def _remember(self, message_id: str) -> None:
        self._fetched[message_id] = None
        while len(self._fetched) > _MOST:
            del self._fetched[next(iter(self._fetched))]

    async def _tell(self, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more and len(body) <= _MOST_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = _names(body)
        await answer_json(send, 400 if asked is None else 200, [each for each in asked or () if each in self._fetched])


def _names(body: bytes) -> Sequence[str] | None:
    """A list of texts; `None` where it is none."""
    try:
        asked = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, list) and all(isinstance(each, str) for each in asked) else None
