"""What a SuperLink hands out is handed out again until whoever asked has it, and a run is told what nodes have fetched.

Flower counts a message as delivered once it was announced: where the line breaks before that answer arrives, nobody
gets the message any more, and a site loses its round. Here an announcement is kept, in the SuperLink's process, until
the same caller confirms that all of the message came, and is given to it again whenever it asks.

Flower tells a run that a node is online, and its answer. What lies between, its own SuperLink does not say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fedforge_runtime.clock import monotonic
from fedforge_runtime.flower import protocol

FETCHES_PATH = "/v1/fedforge/fetched"
"""Asked by a run, with a JSON list of messages; answered with a list of those that were fetched."""
_MOST = 10_000
"""Fetched messages that are remembered: those that were fetched last."""
_MOST_BYTES = 1 << 20
"""Of a question for them."""
_KEPT_SECONDS = 3600.0
"""Of what nobody confirms, as when the run has ended meanwhile."""

_Act = Callable[[str, bytes, bytes], bytes]
"""The answer that is given instead; of the caller, its request and Flower's answer."""


@dataclass(frozen=True)
class _Announcement:
    """A message without its content, as it was handed out."""

    message: Any
    tree: Any
    until: float


class Deliveries:
    """ASGI middleware around a SuperLink, for its nodes' messages and its runs' replies.

    It learns who asks from what Flower has authenticated: nothing is kept, given or remembered unless Flower took the
    request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, dict[str, _Announcement]] = {}
        """By caller, and by the message's id, in the order in which they were handed out."""
        self._fetched: dict[str, None] = {}
        self._acts: Mapping[str, _Act] = {
            "/v1/fleet/pull-messages": self._node_pulls,
            "/v1/fleet/push-messages": self._answered,
            "/v1/fleet/confirm-message-received": self._fetched_by_node,
            "/v1/fleet/activate-node": self._begun_anew,
            "/v1/fleet/deactivate-node": self._begun_anew,
            "/v1/runtime/pull-messages": self._run_pulls,
            "/v1/runtime/confirm-message-received": self._confirmed,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        act = self._acts.get(path)
        if path == FETCHES_PATH:
            await self._tell(scope, receive, send)
        elif act is None:
            await self._app(scope, receive, send)
        else:
            await self._exchange(act, scope, receive, send)

    async def _exchange(self, act: _Act, scope: Scope, receive: Receive, send: Send) -> None:
        """A small request, and the application's answer to it, both whole."""
        request, start, answer = bytearray(), {}, bytearray()

        async def hear() -> Any:
            message = await receive()
            request.extend(message.get("body", b""))
            return message

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                answer.extend(message.get("body", b""))

        await self._app(scope, hear, say)
        given = bytes(answer)
        if start.get("status") == 200:
            sent = Headers(scope=scope)
            caller = sent.get(protocol.NODE_KEY_HEADER) or sent.get(protocol.TASK_TOKEN_HEADER, "")
            given = act(caller, bytes(request), given)
        headers = MutableHeaders(raw=list(start.get("headers", ())))
        headers["content-length"] = str(len(given))
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": given})

    def _node_pulls(self, caller: str, request: bytes, answer: bytes) -> bytes:
        response = protocol.PullMessagesResponse.FromString(answer)
        self._keep(caller, response)
        if response.messages_list:
            return answer
        for kept in self._of(caller).values():
            response.messages_list.append(kept.message)
            response.message_object_trees.append(kept.tree)
            break
        return bytes(response.SerializeToString())

    def _run_pulls(self, caller: str, request: bytes, answer: bytes) -> bytes:
        given = protocol.PullAppMessagesResponse.FromString(answer)
        asked = set(protocol.PullAppMessagesRequest.FromString(request).message_ids)
        again = {each.message.metadata.reply_to_message_id: each for each in self._of(caller).values()}
        response = protocol.PullAppMessagesResponse()
        for message, tree in zip(given.messages_list, given.message_object_trees, strict=True):
            # Of a reply that it has handed out, Flower says the next time that its question was never asked.
            if message.metadata.reply_to_message_id not in again:
                response.messages_list.append(message)
                response.message_object_trees.append(tree)
        self._keep(caller, response)
        for kept in (each for question, each in again.items() if question in asked):
            response.messages_list.append(kept.message)
            response.message_object_trees.append(kept.tree)
        return bytes(response.SerializeToString())

    def _confirmed(self, caller: str, request: bytes, answer: bytes) -> bytes:
        self._forget(caller, protocol.ConfirmMessageReceivedRequest.FromString(request).message_object_id)
        return answer

    def _fetched_by_node(self, caller: str, request: bytes, answer: bytes) -> bytes:
        self._fetched[protocol.ConfirmMessageReceivedRequest.FromString(request).message_object_id] = None
        while len(self._fetched) > _MOST:
            del self._fetched[next(iter(self._fetched))]
        return self._confirmed(caller, request, answer)

    def _answered(self, caller: str, request: bytes, answer: bytes) -> bytes:
        for message in protocol.PushMessagesRequest.FromString(request).messages_list:
            self._forget(caller, message.metadata.reply_to_message_id)
        return answer

    def _begun_anew(self, caller: str, request: bytes, answer: bytes) -> bytes:
        """Whoever waits for an answer of a node that went away has been told that none will come."""
        self._kept.pop(caller, None)
        return answer

    def _keep(self, caller: str, response: Any) -> None:
        until = monotonic() + _KEPT_SECONDS
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            self._kept.setdefault(caller, {})[message.metadata.message_id] = _Announcement(message, tree, until)

    def _of(self, caller: str) -> Mapping[str, _Announcement]:
        now = monotonic()
        kept = {name: each for name, each in self._kept.get(caller, {}).items() if each.until > now}
        if kept:
            self._kept[caller] = kept
        else:
            self._kept.pop(caller, None)
        return kept

    def _forget(self, caller: str, message_id: str) -> None:
        kept = self._kept.get(caller, {})
        kept.pop(message_id, None)
        if not kept:
            self._kept.pop(caller, None)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a run's question which of its messages were fetched."""
        body, more = b"", True
        while more and len(body) <= _MOST_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = _names(body)
        fetched = [each for each in asked or () if each in self._fetched]
        await JSONResponse(fetched, 400 if asked is None else 200)(scope, receive, send)


def _names(body: bytes) -> Sequence[str] | None:
    """A list of texts; `None` where it is none."""
    try:
        asked = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, list) and all(isinstance(each, str) for each in asked) else None
