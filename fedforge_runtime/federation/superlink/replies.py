"""Replies on their way to the ServerApp: taken object by object as they arrive, given up when they break off.

A SuperLink announces a reply before its content is there. Flower's Grid then waits for the content, for minutes where
the sender has died, and neither a time-out nor a stop is looked at meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from flwr.app import Error, Message
from flwr.app.message import make_message

from fedforge_runtime.clock import monotonic
from fedforge_runtime.federation.superlink import flower, flower_grid
from fedforge_runtime.federation.superlink.packing import unreadable

BROKEN_OFF = "the answer broke off: its sender or the SuperLink died while it was sent"


@dataclass
class _Reply:
    """A reply of which something may be missing."""

    announced: Message
    missing: list[str]
    progress_at: float
    contents: dict[str, bytes] = field(default_factory=dict)


class ReplyCollector:
    """Asks for replies without waiting for any.

    Args:
        grid: a connected Grid of Flower's.
        patience: seconds without progress after which a reply is given up.
    """

    def __init__(self, grid: flower_grid.HttpGrid, *, patience: float) -> None:
        self._grid = grid
        self._patience = patience
        self._coming: dict[str, _Reply] = {}
        """By the message that is replied to."""

    def collect(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to these messages that are complete now; an error for one that will never be."""
        self._learn([each for each in message_ids if each not in self._coming])
        messages = []
        for asked, reply in list(self._coming.items()):
            message = self._advance(reply)
            if message is not None:
                del self._coming[asked]
                messages.append(message)
        return messages

    def _learn(self, message_ids: Sequence[str]) -> None:
        request = flower.PullAppMessagesRequest(message_ids=message_ids)
        response = self._grid._runtime_client.PullMessages(request)
        for proto, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            announced = flower.message_from_proto(proto)
            objects = [part.object_id for part in flower.iterate_object_tree(tree)]
            asked = announced.metadata.reply_to_message_id
            self._coming[asked] = _Reply(announced, objects, monotonic())

    def _advance(self, reply: _Reply) -> Message | None:
        """Take what is there of a reply; the message once that is everything."""
        metadata = reply.announced.metadata
        pull = flower.make_pull_object_fn_protobuf(
            self._grid._runtime_client.PullObject, self._grid.node, metadata.run_id
        )
        try:
            while reply.missing:
                reply.contents[reply.missing[0]] = pull(reply.missing[0])
                reply.missing.pop(0)
                reply.progress_at = monotonic()
        except flower.ObjectUnavailableError:
            reply.missing.append(reply.missing.pop(0))  # the next time another is asked for: they come in any order
            if monotonic() - reply.progress_at <= self._patience:
                return None
            return _broken_off(reply)
        except flower.ObjectPullError:
            return _broken_off(reply)
        confirm = flower.make_confirm_message_received_fn_protobuf(
            self._grid._runtime_client.ConfirmMessageReceived, self._grid.node, metadata.run_id
        )
        confirm(metadata.message_id)
        try:
            message = cast(Message, flower.inflate_object_from_contents(metadata.message_id, reply.contents))
        except Exception as error:  # whatever the decoders make of bytes that somebody else has chosen
            return unreadable(metadata, error)
        message.metadata.__dict__["_message_id"] = metadata.message_id
        return message


def _broken_off(reply: _Reply) -> Message:
    error = Error(flower.ErrorCode.MESSAGE_UNAVAILABLE, BROKEN_OFF)
    return make_message(metadata=reply.announced.metadata, error=error)
