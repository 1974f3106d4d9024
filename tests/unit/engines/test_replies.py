"""Replies are taken as they arrive; one that breaks off is an error, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse, PullObjectRequest, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse

from fedforge_runtime.engines.superlink.app import replies
from fedforge_runtime.engines.superlink.app.replies import BROKEN_OFF, ReplyCollector
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import TaskIdentity, give_id, remove_content_from_message

PATIENCE = 20.0
SENDER = 7


@pytest.fixture(autouse=True, scope="module")
def identity() -> Iterator[None]:
    """Who sends; Flower keeps it by process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(TaskIdentity, name, 1)
        yield


class Link:
    """A SuperLink's part: announces each reply once and has such objects of it as have arrived."""

    def __init__(self) -> None:
        self.announced: dict[str, Message] = {}
        self.objects: dict[str, bytes] = {}
        self.confirmed: list[str] = []
        self.expired = False
        self.connected = {SENDER}

    def announce(self, question: str, reply: Message) -> dict[str, bytes]:
        """Make a reply known; the objects that are still to come."""
        give_id(reply, reply.object_id)
        self.announced[question] = reply
        return {key: value.deflate() for key, value in protocol.get_all_nested_objects(reply).items()}

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802
        found = [self.announced.pop(each) for each in list(request.message_ids) if each in self.announced]
        return PullAppMessagesResponse(
            messages_list=[protocol.message_to_proto(remove_content_from_message(each)) for each in found],
            message_object_trees=[protocol.get_object_tree(each) for each in found],
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        content = self.objects.get(request.object_id, b"")
        return PullObjectResponse(object_found=not self.expired, object_available=bool(content), object_content=content)

    def PushObject(self, request: Any) -> Any:  # noqa: N802
        raise AssertionError("nobody sends here")

    def ConfirmMessageReceived(self, request: Any) -> ConfirmMessageReceivedResponse:  # noqa: N802
        self.confirmed.append(request.message_object_id)
        return ConfirmMessageReceivedResponse()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock's hand."""
    hand = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(replies, "monotonic", lambda: hand.seconds)
    return hand


def collector_of(link: Link) -> ReplyCollector:
    return ReplyCollector(link, lambda: link.connected, patience=PATIENCE)  # type: ignore[arg-type]


def reply_to(question: str) -> Message:
    asked = Message(RecordDict(), 7, "train")
    give_id(asked, question)
    content = RecordDict({name: ConfigRecord({"value": name * 10, "asked": question}) for name in ("a", "b", "c")})
    return Message(content, reply_to=asked)


def test_a_reply_is_given_once_all_of_it_is_there(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    objects = link.announce("question", reply_to("question"))
    assert collector.collect(["question"]) == []

    link.objects = objects
    (reply,) = collector.collect(["question"])

    assert reply.content.config_records["c"] == ConfigRecord({"value": "c" * 10, "asked": "question"})
    assert reply.metadata.reply_to_message_id == "question"
    assert link.confirmed == [reply.metadata.message_id]
    assert collector.collect(["question"]) == []


def test_one_that_is_late_does_not_hold_up_another(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    link.announce("late", reply_to("late"))
    link.objects = link.announce("prompt", reply_to("prompt"))

    given = [each.metadata.reply_to_message_id for _ in range(10) for each in collector.collect(["late", "prompt"])]

    assert given == ["prompt"]


def test_one_whose_sender_went_away_becomes_an_error(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    link.announce("question", reply_to("question"))
    assert collector.collect(["question"]) == []
    link.connected.clear()
    now.seconds = 2.0
    assert collector.collect(["question"]) == []
    link.connected.add(SENDER)  # a new process, which knows nothing of it
    now.seconds += PATIENCE + 1

    (reply,) = collector.collect(["question"])

    assert reply.has_error()
    assert reply.error.reason == BROKEN_OFF
    assert reply.metadata.reply_to_message_id == "question"


def test_one_whose_sender_is_heard_of_is_waited_for_however_slow_it_is(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    link.announce("question", reply_to("question"))
    for _ in range(100):
        assert collector.collect(["question"]) == []
        now.seconds += PATIENCE


def test_one_that_arrives_bit_by_bit_is_waited_for(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    objects = link.announce("question", reply_to("question"))
    given: list[Message] = []
    for name, content in reversed(objects.items()):  # in another order than they are asked for
        link.objects[name] = content
        for _ in objects:
            given += collector.collect(["question"])
        now.seconds += PATIENCE * 0.9

    assert [each.has_error() for each in given] == [False]


def test_one_that_the_superlink_has_thrown_away_becomes_an_error_at_once(now: SimpleNamespace) -> None:
    link = Link()
    collector = collector_of(link)
    link.announce("question", reply_to("question"))
    link.expired = True

    assert [each.has_error() for each in collector.collect(["question"])] == [True]
