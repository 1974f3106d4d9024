"""What a SuperLink hands out is handed out again until whoever asked has it.

Flower counts a message as delivered once it was announced: where the line breaks before that answer arrives, nobody
gets the message any more, and a site loses its round. Here an announcement is kept, in the SuperLink's process, until
the same caller confirms that all of the message came, and is given to it again whenever it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.superlink.link.asgi import AsgiApp, Exchange, Receive, Scope, Send, header_of
from fedforge_runtime.flower import protocol

_KEPT_SECONDS = 3600.0
"""Of what nobody confirms, as when the run has ended meanwhile."""

_Act = Callable[[bytes, bytes, bytes], bytes]
"""The answer that is given instead; of the caller, its request and Flower's answer."""


@dataclass(frozen=True)
class _Announcement:
    """A message without its content, as it was handed out."""

    message: Any
    tree: Any
    until: float


class Redelivery:
    """ASGI middleware around a SuperLink, for its nodes' messages and its runs' replies.

    It learns who asks from what Flower has authenticated: nothing is kept or given unless Flower took the request.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._kept: dict[bytes, dict[str, _Announcement]] = {}
        """By caller, and by the message's id, in the order in which they were handed out."""
        self._acts: Mapping[str, _Act] = {
            "/v1/fleet/pull-messages": self._node_pulls,
            "/v1/fleet/push-messages": self._answered,
            "/v1/fleet/confirm-message-received": self._confirmed,
            "/v1/fleet/activate-node": self._begun_anew,
            "/v1/fleet/deactivate-node": self._begun_anew,
            "/v1/runtime/pull-messages": self._run_pulls,
            "/v1/runtime/confirm-message-received": self._confirmed,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        act = self._acts.get(scope["path"]) if scope["type"] == "http" else None
        if act is None:
            await self._app(scope, receive, send)
            return
        exchange = await Exchange.of(self._app, scope, receive)
        if exchange.succeeded:
            caller = header_of(scope, protocol.NODE_KEY_HEADER) or header_of(scope, protocol.TASK_TOKEN_HEADER)
            exchange.answer = act(caller, exchange.request, exchange.answer)
        await exchange.give(send)

    def _node_pulls(self, caller: bytes, request: bytes, answer: bytes) -> bytes:
        response = protocol.PullMessagesResponse.FromString(answer)
        self._keep(caller, response)
        if response.messages_list:
            return answer
        for kept in self._of(caller).values():
            response.messages_list.append(kept.message)
            response.message_object_trees.append(kept.tree)
            break
        return bytes(response.SerializeToString())

    def _run_pulls(self, caller: bytes, request: bytes, answer: bytes) -> bytes:
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

    def _confirmed(self, caller: bytes, request: bytes, answer: bytes) -> bytes:
        self._forget(caller, protocol.ConfirmMessageReceivedRequest.FromString(request).message_object_id)
        return answer

    def _answered(self, caller: bytes, request: bytes, answer: bytes) -> bytes:
        for message in protocol.PushMessagesRequest.FromString(request).messages_list:
            self._forget(caller, message.metadata.reply_to_message_id)
        return answer

    def _begun_anew(self, caller: bytes, request: bytes, answer: bytes) -> bytes:
        """Whoever waits for an answer of a node that went away has been told that none will come."""
        self._kept.pop(caller, None)
        return answer

    def _keep(self, caller: bytes, response: Any) -> None:
        until = monotonic() + _KEPT_SECONDS
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            self._kept.setdefault(caller, {})[message.metadata.message_id] = _Announcement(message, tree, until)

    def _of(self, caller: bytes) -> Mapping[str, _Announcement]:
        now = monotonic()
        kept = {name: each for name, each in self._kept.get(caller, {}).items() if each.until > now}
        if kept:
            self._kept[caller] = kept
        else:
            self._kept.pop(caller, None)
        return kept

    def _forget(self, caller: bytes, message_id: str) -> None:
        kept = self._kept.get(caller, {})
        kept.pop(message_id, None)
        if not kept:
            self._kept.pop(caller, None)
