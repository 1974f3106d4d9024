"""What every Grid of ours does alike, so that each says only what it does otherwise, and what some know beside it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from fedforge_runtime.clock import monotonic
from fedforge_runtime.wording import size

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Arrival:
    """How far a message is on its way: how much of it has come."""

    bytes: int
    parts: int
    parts_total: int

    def __str__(self) -> str:
        return f"{size(self.bytes)}, {self.parts} of {self.parts_total} parts"


@runtime_checkable
class KnowsArrivals(Protocol):
    """A Grid whose answers may take long to arrive."""

    def arrivals(self) -> Mapping[int, Arrival]:
        """The answers that have begun to arrive and are not whole, by node."""
        ...


@runtime_checkable
class KnowsFetches(Protocol):
    """A Grid whose nodes are elsewhere, and come for their messages."""

    def fetched(self, message_ids: Sequence[str]) -> Collection[str]:
        """Those of these messages that their node has whole, as far as anybody here can tell."""
        ...


@runtime_checkable
class AbandonsMessages(Protocol):
    """A Grid that can free what a message without an answer still occupies."""

    def abandon(self, message_ids: Sequence[str]) -> None: ...


class OwnGrid(Grid):
    """A Grid that needs to say only who is there, how to send, and what has come back."""

    _run: Any = None

    def set_run(self, run: Any) -> None:
        self._run = run

    @property
    def run(self) -> Any:
        return self._run

    def create_message(self, *arguments: Any, **keywords: Any) -> Message:
        return Message(*arguments, **keywords)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Flower's own way to ask; the run's rounds use `RunGrid.exchange`, which hears a stop meanwhile."""
        waiting = set(self.push_messages(messages))
        deadline = None if timeout is None else monotonic() + timeout
        replies: list[Message] = []
        while True:
            come = list(self.pull_messages(waiting))
            replies += come
            waiting -= {reply.metadata.reply_to_message_id for reply in come}
            if not waiting:
                return replies
            if deadline is not None and monotonic() >= deadline:
                self.abandon(list(waiting))
                return replies
            time.sleep(_POLL_SECONDS)

    def abandon(self, message_ids: Sequence[str]) -> None:
        """Free what messages without an answer still occupy: nothing, unless a Grid says what."""


class ForwardingGrid(OwnGrid):
    """A Grid around another one, which passes on whatever it does not change."""

    def __init__(self, inner: Grid) -> None:
        self._inner = inner

    def get_node_ids(self) -> Iterable[int]:
        return self._inner.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._inner.pull_messages(message_ids)

    def abandon(self, message_ids: Sequence[str]) -> None:
        if isinstance(self._inner, AbandonsMessages):
            self._inner.abandon(message_ids)

    def set_run(self, run: Any) -> None:
        self._inner.set_run(run)

    @property
    def run(self) -> Any:
        return self._inner.run
