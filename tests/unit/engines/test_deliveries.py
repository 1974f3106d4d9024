"""What a SuperLink hands out is handed out again, to the same caller, until it is confirmed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fedforge_runtime.engines.superlink.link import deliveries
from fedforge_runtime.engines.superlink.link.deliveries import Deliveries
from fedforge_runtime.flower import protocol

NODE, OTHER = (protocol.NODE_KEY_HEADER, b"a"), (protocol.NODE_KEY_HEADER, b"b")
RUN = (protocol.TASK_TOKEN_HEADER, b"t")


class Link:
    """A SuperLink's part: each announcement is given once, and lost where nobody keeps it."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.status = 200
        self.app = Deliveries(self.answer)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        content = b""
        if scope["path"].endswith("pull-messages"):
            kind = protocol.PullMessagesResponse if "fleet" in scope["path"] else protocol.PullAppMessagesResponse
            content = kind(
                messages_list=[announcement(each) for each in self.waiting],
                message_object_trees=[protocol.ObjectTree(object_id=each) for each in self.waiting],
            ).SerializeToString()
            self.waiting = []
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"?")]})
        await send({"type": "http.response.body", "body": content})

    def post(self, caller: tuple[str, bytes], path: str, request: Any) -> bytes:
        """The body of the answer, whose length is the one that is told."""
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": request.SerializeToString()}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": [(caller[0].lower().encode(), caller[1])]}
        asyncio.run(self.app(scope, receive, send))
        body = b"".join(each.get("body", b"") for each in sent)
        assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
        return body

    def pull(self, caller: tuple[str, bytes] = NODE) -> list[str]:
        body = self.post(caller, "/v1/fleet/pull-messages", protocol.PullMessagesRequest())
        return names(protocol.PullMessagesResponse.FromString(body))

    def pull_replies(self, *asked: str) -> list[str]:
        request = protocol.PullAppMessagesRequest(message_ids=asked)
        return names(protocol.PullAppMessagesResponse.FromString(self.post(RUN, "/v1/runtime/pull-messages", request)))

    def confirm(self, caller: tuple[str, bytes], api: str, name: str) -> None:
        request = protocol.ConfirmMessageReceivedRequest(message_object_id=name)
        self.post(caller, f"/v1/{api}/confirm-message-received", request)


def announcement(name: str) -> Any:
    message = protocol.MessageProto()
    message.metadata.message_id = name
    message.metadata.reply_to_message_id = f"question of {name.removeprefix('no longer ')}"
    return message


def names(response: Any) -> list[str]:
    pairs = zip(response.messages_list, response.message_object_trees, strict=True)
    assert all(message.metadata.message_id == tree.object_id for message, tree in pairs)
    return [message.metadata.message_id for message in response.messages_list]


@pytest.fixture
def link() -> Link:
    return Link()


def test_a_node_gets_a_message_again_until_it_confirms_it(link: Link) -> None:
    link.waiting = ["one"]

    assert [link.pull(), link.pull(), link.pull()] == [["one"]] * 3
    link.confirm(NODE, "fleet", "one")
    assert link.pull() == []


def test_a_message_that_was_answered_has_come(link: Link) -> None:
    link.waiting = ["one"]
    link.pull()
    answer = protocol.MessageProto()
    answer.metadata.reply_to_message_id = "one"

    link.post(NODE, "/v1/fleet/push-messages", protocol.PushMessagesRequest(messages_list=[answer]))

    assert link.pull() == []


def test_a_later_message_comes_first_and_the_earlier_one_is_not_forgotten(link: Link) -> None:
    link.waiting = ["one"]
    link.pull()
    link.waiting = ["two"]

    assert link.pull() == ["two"]
    link.confirm(NODE, "fleet", "two")
    assert link.pull() == ["one"]


def test_nobody_else_gets_it(link: Link) -> None:
    link.waiting = ["one"]
    link.pull()

    assert link.pull(OTHER) == []
    link.confirm(OTHER, "fleet", "one")
    assert link.pull() == ["one"]


@pytest.mark.parametrize("path", ["activate-node", "deactivate-node"])
def test_a_node_that_begins_anew_gets_nothing_of_its_former_life(path: str, link: Link) -> None:
    link.waiting = ["one"]
    link.pull()

    link.post(NODE, f"/v1/fleet/{path}", protocol.DeactivateNodeRequest())

    assert link.pull() == []


def test_what_flower_refuses_gives_nothing_and_forgets_nothing(link: Link) -> None:
    link.waiting = ["one"]
    link.pull()
    link.status = 401

    assert link.pull() == []
    link.confirm(NODE, "fleet", "one")
    link.status = 200
    assert link.pull() == ["one"]


def test_a_run_gets_the_replies_again_that_it_asks_for(link: Link) -> None:
    link.waiting = ["one", "two"]
    assert link.pull_replies("question of one", "question of two") == ["one", "two"]
    link.waiting = ["three"]

    assert link.pull_replies("question of two", "question of three") == ["three", "two"]
    link.confirm(RUN, "runtime", "two")
    assert link.pull_replies("question of one", "question of two") == ["one"]


def test_what_flower_says_of_a_question_that_it_has_forgotten_does_not_take_the_replys_place(link: Link) -> None:
    link.waiting = ["one"]
    link.pull_replies("question of one")
    link.waiting = ["no longer one"]

    assert link.pull_replies("question of one") == ["one"]
    link.confirm(RUN, "runtime", "one")
    assert link.pull_replies("question of one") == []


def test_what_nobody_confirms_is_forgotten_in_the_end(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(deliveries, "monotonic", lambda: now)
    link.waiting = ["one"]
    link.pull()
    now = 3599.0
    assert link.pull() == ["one"]
    now = 8000.0

    assert link.pull() == []
