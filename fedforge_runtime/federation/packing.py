"""Whole messages in one record.

Flower sends every array, and every record, by a request of its own, which costs more than a small model's bytes do.
A packed message holds Flower's own encoding of its content in a single record, or in parts, so that a slow line shows
that something arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.serverapp import Grid

from fedforge_runtime.federation.forwarding import Arrival, ForwardingGrid, KnowsArrivals, KnowsFetches
from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.flower.messages import (
    ErrorCode,
    content_from_bytes,
    content_to_bytes,
    make_message,
)

PACKED = "fedforge-packed"
_CONTENT = "content"
_PART_BYTES = 1 << 17
"""Of each request: a line of 20 kB/s shows progress every 7 s, and what a cut costs is bounded."""
_LONGEST_REASON = 500


def pack(message: Message) -> Message:
    """The same message with its content encoded; an error stays as it is."""
    if message.has_error():
        return message
    encoded = content_to_bytes(message.content)
    parts = [encoded[first : first + _PART_BYTES] for first in range(0, max(len(encoded), 1), _PART_BYTES)]
    content = RecordDict({_part_name(number): ConfigRecord({_CONTENT: part}) for number, part in enumerate(parts)})
    return make_message(metadata=message.metadata, content=content)


def _part_name(number: int) -> str:
    return f"{PACKED}-{number}" if number else PACKED


def is_packed(message: Message) -> bool:
    return message.has_content() and PACKED in message.content.config_records


def unpack(message: Message) -> Message:
    """What `pack` was given; another message stays as it is."""
    if not is_packed(message):
        return message
    records = message.content.config_records
    parts = [records[_part_name(number)][_CONTENT] for number in range(len(records))]
    encoded = b"".join(part for part in parts if isinstance(part, bytes))
    return make_message(metadata=message.metadata, content=content_from_bytes(encoded))


def packing_mod(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """A ClientApp's mod: it answers in the way in which it was asked."""
    reply = call_next(unpack(message), context)
    return pack(reply) if is_packed(message) else reply


def unreadable(metadata: Any, error: Exception) -> Message:
    """The error that stands for an answer whose bytes are those of no message."""
    reason = f"the answer cannot be read: {type(error).__name__}: {error}"[:_LONGEST_REASON]
    return make_message(metadata=metadata, error=Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason))


def _unpack_answer(reply: Message) -> Message:
    """As `unpack`; an answer that is not what `pack` gives is its sender's error."""
    try:
        return unpack(reply)
    except Exception as error:  # whatever the decoders make of bytes that somebody else has chosen
        return unreadable(reply.metadata, error)


class PackingGrid(ForwardingGrid):
    """Sends packed messages over another Grid, to ClientApps that know `packing_mod`."""

    def __init__(self, inner: Grid, registrations: Callable[[], Mapping[int, Registration]] = dict) -> None:
        """Args:
        registrations: what is known of the nodes' keys, asked whenever there is a new node.
        """
        super().__init__(inner)
        self._registrations = registrations

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._inner.push_messages([pack(message) for message in messages])

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [_unpack_answer(message) for message in self._inner.pull_messages(message_ids)]

    def arrivals(self) -> Mapping[int, Arrival]:
        """See `KnowsArrivals`."""
        return self._inner.arrivals() if isinstance(self._inner, KnowsArrivals) else {}

    def fetched(self, message_ids: Sequence[str]) -> Collection[str]:
        """See `KnowsFetches`."""
        return self._inner.fetched(message_ids) if isinstance(self._inner, KnowsFetches) else ()

    def registrations(self) -> Mapping[int, Registration]:
        """See `KnowsRegistrations`."""
        return self._registrations()
