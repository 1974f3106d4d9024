"""Replies on their way to the ServerApp: taken object by object as they arrive, given up where nobody sends any more.

A SuperLink announces a reply before its content is there. Flower's Grid then waits for the content, for minutes where
the sender has died, and neither a time-out nor a stop is looked at meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Error, Message

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.superlink.node.objects import ContentGoneError, Incoming, ObjectLine
from fedforge_runtime.federation.forwarding import Arrival
from fedforge_runtime.federation.packing import unreadable
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import ErrorCode, make_message

BROKEN_OFF = "the answer broke off: its node went away while it was sent"
_LOOK_SECONDS = 1.0
"""How often a reply's sender is looked for while nothing comes of it."""


def object_line(runtime: protocol.RuntimeHttpClient, run_id: int) -> ObjectLine:
    """The way of a run's objects between its ServerApp and the SuperLink."""
    node = protocol.NodeProto(node_id=protocol.SUPERLINK_NODE_ID)
    return ObjectLine(node, run_id, runtime.PushObject, runtime.PullObject, runtime.ConfirmMessageReceived)


@dataclass
class _Reply:
    """A reply of which something may be missing."""

    coming: Incoming
    received: Arrival
    look_at: float
    """When its sender is looked for, unless more has come."""
    away_since: float | None = None
    """Since when its sender has sent nothing, and was not connected at least once."""


class ReplyCollector:
    """Asks for replies without waiting for any. A node that is heard of may take as long as it needs.

    Args:
        runtime: asks the SuperLink for the run.
        connected: the nodes that the SuperLink has heard of lately.
        patience: seconds after which a reply is given up whose sender went away, and of which nothing has come since.
    """

    def __init__(
        self, runtime: protocol.RuntimeHttpClient, connected: Callable[[], Collection[int]], *, patience: float
    ) -> None:
        self._runtime = runtime
        self._connected = connected
        self._patience = patience
        self._coming: dict[str, _Reply] = {}
        """By the message that is replied to."""

    def collect(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to these messages that are complete now; an error for one that will never be."""
        unknown = [each for each in message_ids if each not in self._coming]
        if unknown:
            self._learn(unknown)
        messages = []
        for asked, reply in list(self._coming.items()):
            message = self._advance(reply)
            if message is not None:
                del self._coming[asked]
                messages.append(message)
        return messages

    def arrivals(self) -> dict[int, Arrival]:
        """See `KnowsArrivals`."""
        return {each.coming.announced.metadata.src_node_id: each.received for each in self._coming.values()}

    def _learn(self, message_ids: Sequence[str]) -> None:
        response = self._runtime.PullMessages(protocol.PullAppMessagesRequest(message_ids=message_ids))
        for proto, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            announced = protocol.message_from_proto(proto)
            coming = Incoming(announced, tree)
            reply = _Reply(coming, coming.arrival, monotonic() + _LOOK_SECONDS)
            self._coming[announced.metadata.reply_to_message_id] = reply

    def _advance(self, reply: _Reply) -> Message | None:
        """Take what is there of a reply; the message once that is everything."""
        metadata = reply.coming.announced.metadata
        try:
            complete = reply.coming.take(object_line(self._runtime, metadata.run_id))
        except ContentGoneError:
            return _broken_off(reply)
        if not complete:
            return _broken_off(reply) if self._is_given_up(reply) else None
        try:
            return reply.coming.message()
        except Exception as error:  # whatever the decoders make of bytes that somebody else has chosen
            return unreadable(metadata, error)

    def _is_given_up(self, reply: _Reply) -> bool:
        now, received = monotonic(), reply.coming.arrival
        if received != reply.received:
            reply.received, reply.away_since, reply.look_at = received, None, now + _LOOK_SECONDS
        elif now >= reply.look_at:
            reply.look_at = now + _LOOK_SECONDS
            if reply.away_since is None and reply.coming.announced.metadata.src_node_id not in self._connected():
                reply.away_since = now
        return reply.away_since is not None and now - reply.away_since > self._patience


def _broken_off(reply: _Reply) -> Message:
    error = Error(ErrorCode.MESSAGE_UNAVAILABLE, BROKEN_OFF)
    return make_message(metadata=reply.coming.announced.metadata, error=error)
