"""Messages on their way over a SuperLink, object by object: one that broke off goes on where it was.

Flower announces a message and then moves its content in objects, each by a request of its own. Either side keeps here
what has arrived already, so that a cut costs the objects that were under way and nothing else, however often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar, cast

from flwr.app import Message

from fedforge_runtime.federation.forwarding import Arrival
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import give_id, remove_content_from_message

_AT_ONCE = 4
"""Requests for objects that are under way together: what a line of long delay takes."""
_ANNOUNCEMENTS = 3
"""So often a message is announced again because its SuperLink gave its content up: after minutes without an object."""

Item = TypeVar("Item")
Announce = Callable[[Sequence[protocol.MessageProto], Sequence[protocol.ObjectTree]], tuple[str, Sequence[str]]]
"""Announces messages: the push session, and the ids of the objects that the SuperLink lacks."""


class ContentGoneError(Exception):
    """A SuperLink no longer has what it announced: its sender, or the run, gave the message up."""


@dataclass(frozen=True)
class ObjectLine:
    """The way of one run's objects between a node, or the run, and the SuperLink: requests that both have alike."""

    node: protocol.NodeProto
    run_id: int
    push: Callable[[protocol.PushObjectRequest], protocol.PushObjectResponse]
    pull: Callable[[protocol.PullObjectRequest], protocol.PullObjectResponse]
    confirm_received: Callable[[protocol.ConfirmMessageReceivedRequest], object]

    def put(self, object_id: str, content: bytes, session: str) -> bool:
        """Whether it was stored; not where it is there already, nor where nobody waits for it."""
        request = protocol.PushObjectRequest(
            node=self.node, run_id=self.run_id, object_id=object_id, object_content=content, session_id=session
        )
        return bool(self.push(request).stored)

    def get(self, object_id: str) -> bytes | None:
        """An object; `None` when it has not been sent yet.

        Raises:
            ContentGoneError: the SuperLink does not know it.
        """
        response = self.pull(protocol.PullObjectRequest(node=self.node, run_id=self.run_id, object_id=object_id))
        if not response.object_found:
            raise ContentGoneError
        return bytes(response.object_content) if response.object_available else None

    def confirm(self, message_id: str) -> None:
        """Say that all of a message has come."""
        self.confirm_received(
            protocol.ConfirmMessageReceivedRequest(node=self.node, run_id=self.run_id, message_object_id=message_id)
        )


class Incoming:
    """A message that was announced, and what has come of its content."""

    def __init__(self, announced: Message, tree: protocol.ObjectTree) -> None:
        self.announced = announced
        self._missing = list(dict.fromkeys(part.object_id for part in protocol.iterate_object_tree(tree)))
        self._contents: dict[str, bytes] = {}

    @property
    def arrival(self) -> Arrival:
        """How much of it has come."""
        received = list(self._contents.values())
        return Arrival(sum(map(len, received)), len(received), len(received) + len(self._missing))

    def take(self, line: ObjectLine) -> bool:
        """Take what is there and has not come yet; whether that is all, and confirmed.

        Raises:
            ContentGoneError: the rest will never come.
        """
        while self._missing:
            asked = self._missing[:_AT_ONCE]
            _in_parallel(lambda name: self._take(line, name), asked)
            late = [name for name in asked if name not in self._contents]
            self._missing = self._missing[len(asked) :] + late  # others may come first
            if late == asked:
                return False
        line.confirm(self.announced.metadata.message_id)
        return True

    def _take(self, line: ObjectLine, name: str) -> None:
        content = line.get(name)
        if content is not None:
            self._contents[name] = content

    def message(self) -> Message:
        """The whole message, after `take` was true.

        Raises:
            Exception: whatever the decoders make of bytes that somebody else has chosen.
        """
        message_id = self.announced.metadata.message_id
        message = cast(Message, protocol.inflate_object_from_contents(message_id, self._contents))
        give_id(message, message_id)
        return message


class Outgoing:
    """Messages that are sent together, and what the SuperLink has of their content."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._protos: list[protocol.MessageProto] = []
        self._trees: list[protocol.ObjectTree] = []
        self._contents: dict[str, bytes] = {}
        for message in messages:
            give_id(message, message.object_id)
            with protocol.no_object_id_recompute():
                self._protos.append(protocol.message_to_proto(remove_content_from_message(message)))
                self._trees.append(protocol.get_object_tree(message))
                parts = protocol.get_all_nested_objects(message)
                self._contents |= {name: part.deflate() for name, part in parts.items()}
        self._pending: set[str] | None = None
        """Objects that the SuperLink lacks; `None` while nobody can say."""
        self._session = ""
        self._announced = False
        """Whether it may have been: the answer to it can be lost."""
        self._expired = False
        """The SuperLink has given the session up in which it took the objects."""
        self._given_up = 0

    @property
    def departure(self) -> Arrival:
        """How much of it the SuperLink has."""
        left = self._contents if self._pending is None else self._pending
        sent = [content for name, content in self._contents.items() if name not in left]
        return Arrival(sum(map(len, sent)), len(sent), len(self._contents))

    def send(
        self, announce: Announce, line: ObjectLine, progress: Callable[[Arrival], None] = lambda sent: None
    ) -> None:
        """Send what was not sent yet; call it again after an error.

        Args:
            progress: told what the SuperLink has, again and again.

        Raises:
            ContentGoneError: the SuperLink gives it up again and again.
        """
        while self._pending is None or self._pending:
            if self._pending is None:
                self._announce(announce)
            self._expired = False
            lacking = [name for name in self._contents if name in (self._pending or ())]
            for first in range(0, len(lacking), _AT_ONCE):
                _in_parallel(lambda name: self._put(line, name), lacking[first : first + _AT_ONCE])
                progress(self.departure)
            if self._expired:
                self._given_up += 1
                if self._given_up == _ANNOUNCEMENTS:
                    raise ContentGoneError
                self._pending = None

    def _announce(self, announce: Announce) -> None:
        repeated, self._announced = self._announced, True
        self._session, lacking = announce(self._protos, self._trees)
        if repeated and not lacking:
            # The answer to the former announcement was lost. A SuperLink that has passed it on takes no other, and
            # finds the session of an object by itself.
            self._session, lacking = "", list(self._contents)
        self._pending = set(lacking)

    def _put(self, line: ObjectLine, name: str) -> None:
        if not line.put(name, self._contents[name], self._session) and not self._has_arrived(line, name):
            self._expired = True
        elif self._pending is not None:
            self._pending.discard(name)

    def _has_arrived(self, line: ObjectLine, name: str) -> bool:
        """Whether an object that is not taken is there already, or was, and has been fetched."""
        try:
            return line.get(name) is not None
        except ContentGoneError:
            return True


def _in_parallel(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do all of it, a few at a time; the first error once nothing is under way."""
    if len(items) == 1:
        work(items[0])
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="objects") as pool:
        done, _ = wait([pool.submit(work, item) for item in items], return_when=FIRST_EXCEPTION)
        pool.shutdown(wait=False, cancel_futures=True)
    for each in done:
        each.result()
