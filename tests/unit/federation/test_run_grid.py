"""The Grid that a run sees, over a Grid of plain objects: who is there, in which order, and when to wait or stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict

from fedforge_runtime.errors import RunFailedError, RunStoppedError
from fedforge_runtime.federation import grid as grid_module
from fedforge_runtime.federation.forwarding import OwnGrid
from fedforge_runtime.federation.grid import RunGrid, node_name
from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.flower.messages import ErrorCode, TaskIdentity, give_id
from fedforge_runtime.telemetry.control import AlwaysRun, Control, Desired
from fedforge_runtime.telemetry.emitter import Emitter, read_events
from monitor.schema import SitesAwaited
from tests.support.hurried_clock import NO_ANSWER, time_out_once
from tests.support.patience import PATIENCE_SECONDS

PARTITION_OF_NODE = {901: 2, 17: 0, 404: 1}


class ObjectGrid(OwnGrid):
    """Nodes with random ids that answer at once; which of them are connected and how they answer can change."""

    def __init__(self) -> None:
        self.connected = list(PARTITION_OF_NODE)
        self.asked: list[int] = []
        self.answer: Callable[[Message], Message | None] = identify
        self._replies: list[Message] = []
        self._count = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.connected)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        message_ids = []
        for message in messages:
            self._count += 1
            give_id(message, f"message-{self._count}")
            message_ids.append(message.metadata.message_id)
            self.asked.append(message.metadata.dst_node_id)
            if reply := self.answer(message):
                self._replies.append(reply)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies, self._replies = self._replies, []
        return replies


class Script:
    """A control that wants one thing after another; the last one stays."""

    def __init__(self, *wishes: Desired) -> None:
        self._wishes = list(wishes)

    def desired(self) -> Desired:
        return self._wishes.pop(0) if len(self._wishes) > 1 else self._wishes[0]


@pytest.fixture(autouse=True)
def messages_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture
def inner() -> ObjectGrid:
    return ObjectGrid()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def open_grid(inner: ObjectGrid, log: Path) -> Iterator[Callable[[Control], RunGrid]]:
    with Emitter(log, run_id="run", role="server") as emitter:
        yield lambda control: RunGrid(inner, control=control, emitter=emitter, sites=range(3))


@pytest.fixture
def grid(open_grid: Callable[[Control], RunGrid]) -> RunGrid:
    grid = open_grid(AlwaysRun())
    grid.discover(3, timeout=PATIENCE_SECONDS)
    return grid


def identify(message: Message) -> Message:
    partition = PARTITION_OF_NODE.get(message.metadata.dst_node_id, 9)
    return Message(RecordDict({"config": ConfigRecord({"partition-id": partition})}), reply_to=message)


def questions(grid: RunGrid) -> list[Message]:
    return [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]


# Clients


def test_who_is_missing_is_said_while_it_is_waited_for(
    open_grid: Callable[[Control], RunGrid], inner: ObjectGrid, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_module, "_SAY_SECONDS", 0.01)
    inner.connected = [17]

    class ComesLater:
        """The others come once somebody has said twice that they are missing."""

        def desired(self) -> Desired:
            if sum(isinstance(event, SitesAwaited) for event in read_events(log)) > 1:
                inner.connected = list(PARTITION_OF_NODE)
            return "run"

    open_grid(ComesLater()).discover(3, timeout=PATIENCE_SECONDS)

    said = [event for event in read_events(log) if isinstance(event, SitesAwaited)]
    assert {(event.connected, event.missing, *event.missing_nodes) for event in said} == {
        (1, 2, "client-1", "client-2")
    }


def test_nodes_are_known_and_ordered_by_the_partition_they_hold(grid: RunGrid) -> None:
    assert grid.clients == [0, 1, 2]
    assert list(grid.get_node_ids()) == [17, 404, 901]


def test_only_the_shown_clients_are_seen(grid: RunGrid) -> None:
    grid.show([0, 2])

    assert list(grid.get_node_ids()) == [17, 901]


def test_a_node_is_asked_only_once(grid: RunGrid, inner: ObjectGrid) -> None:
    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert sorted(inner.asked) == sorted(PARTITION_OF_NODE)


def test_a_node_that_comes_back_under_another_id_is_found_again(
    grid: RunGrid, inner: ObjectGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner.connected.remove(404)
    assert grid.clients == [0, 2]
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 1)
    inner.connected.append(555)

    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert grid.clients == [0, 1, 2]
    assert list(grid.get_node_ids()) == [17, 555, 901]


def test_too_few_nodes_end_the_run_with_their_number_and_the_sites_that_are_missing(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]
) -> None:
    inner.connected.remove(404)

    with pytest.raises(RunFailedError, match="only 2 of 3 clients connected within 0 s; missing: site 1"):
        open_grid(AlwaysRun()).discover(3, timeout=0.01)


def test_a_node_that_cannot_run_the_client_ends_the_run(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]
) -> None:
    inner.answer = lambda message: Message(Error(1, "No module named 'torch'"), reply_to=message)

    with pytest.raises(RunFailedError, match="cannot run the ClientApp: No module named 'torch'"):
        open_grid(AlwaysRun()).discover(3, timeout=PATIENCE_SECONDS)


def test_a_client_that_was_lost_is_given_a_moment_to_come_back(
    grid: RunGrid, inner: ObjectGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def away_at_first() -> list[int]:
        nonlocal looks
        looks += 1
        return [17, 901] if looks < 4 else list(PARTITION_OF_NODE)

    monkeypatch.setattr(inner, "get_node_ids", away_at_first)

    grid.discover(2, timeout=PATIENCE_SECONDS, awaited=[1])

    assert grid.clients == [0, 1, 2]


def test_a_client_that_stays_away_holds_up_a_round_for_a_moment_only(
    grid: RunGrid, inner: ObjectGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedforge_runtime.federation.grid._RETURN_SECONDS", 0.01)
    inner.connected.remove(404)

    grid.discover(2, timeout=PATIENCE_SECONDS, awaited=[1])

    assert grid.clients == [0, 2]


def test_a_node_that_goes_while_it_is_asked_is_asked_again(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]
) -> None:
    def gone_at_first(message: Message) -> Message:
        if inner.asked.count(404) < 2 and message.metadata.dst_node_id == 404:
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)
        return identify(message)

    inner.answer = gone_at_first
    grid = open_grid(AlwaysRun())

    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert grid.clients == [0, 1, 2]
    assert inner.asked.count(404) == 2


def misfit(message: Message) -> Message:
    """Client 1 cannot take part."""
    reply = identify(message)
    if message.metadata.dst_node_id == 404:
        reply.content.config_records["config"]["misfit"] = "its data do not fit. Make them anew."
    return reply


def test_a_client_that_does_not_fit_ends_the_run_before_it_begins(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid], log: Path
) -> None:
    inner.answer = misfit

    with pytest.raises(RunFailedError) as caught:
        open_grid(AlwaysRun()).discover(3, timeout=PATIENCE_SECONDS)

    assert str(caught.value) == "client 1 cannot take part: its data do not fit. Make them anew."
    [told] = read_events(log)
    assert (told.type, told.node_id, told.round) == ("node_error", "client-1", 0)


def test_a_client_that_does_not_fit_is_left_out_where_the_others_are_enough(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid], log: Path
) -> None:
    inner.answer = misfit
    grid = open_grid(AlwaysRun())

    grid.discover(2, timeout=PATIENCE_SECONDS)
    assert grid.clients == [0, 2]
    grid.discover(2, timeout=PATIENCE_SECONDS, round_number=1)
    assert len(read_events(log)) == 1

    inner.answer = identify
    grid.discover(2, timeout=PATIENCE_SECONDS, round_number=2)
    assert grid.clients == [0, 1, 2]


def test_a_stop_while_clients_connect_is_obeyed(inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]) -> None:
    inner.connected.clear()

    with pytest.raises(RunStoppedError):
        open_grid(Script("stop")).discover(3, timeout=PATIENCE_SECONDS)


# Pause and stop


def test_a_paused_run_waits_at_the_gate_and_says_so(open_grid: Callable[[Control], RunGrid], log: Path) -> None:
    open_grid(Script("pause", "pause", "run")).gate(3)

    assert [(event.type, event.round) for event in read_events(log)] == [("run_paused", 3), ("run_resumed", 3)]


def test_a_run_that_is_not_paused_passes_the_gate_in_silence(
    open_grid: Callable[[Control], RunGrid], log: Path
) -> None:
    open_grid(AlwaysRun()).gate(1)

    assert read_events(log) == []


def test_a_paused_run_can_be_stopped(open_grid: Callable[[Control], RunGrid], log: Path) -> None:
    with pytest.raises(RunStoppedError):
        open_grid(Script("pause", "pause", "stop")).gate(1)

    assert [event.type for event in read_events(log)] == ["run_paused"]


def test_a_pause_does_not_hold_up_an_exchange(inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]) -> None:
    grid = open_grid(Script("pause"))
    grid.discover(3, timeout=PATIENCE_SECONDS)

    answers = grid.exchange(questions(grid), task="train", round_number=1, timeout=PATIENCE_SECONDS)

    assert [answer.client for answer in answers] == [0, 1, 2]


def test_a_stop_ends_an_exchange_in_which_nobody_answers(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]
) -> None:
    control = Script("run")
    grid = open_grid(control)
    grid.discover(3, timeout=PATIENCE_SECONDS)
    inner.answer = lambda message: None
    control._wishes = ["run", "run", "stop"]

    with pytest.raises(RunStoppedError):
        grid.exchange(questions(grid), task="train", round_number=1, timeout=PATIENCE_SECONDS)


# Exchange


def test_every_message_is_answered_by_a_reply_an_error_or_the_time_out(
    grid: RunGrid, inner: ObjectGrid, log: Path
) -> None:
    def answer(message: Message) -> Message | None:
        if message.metadata.dst_node_id == 404:
            return Message(Error(2, "out of memory"), reply_to=message)
        return None if message.metadata.dst_node_id == 17 else identify(message)

    inner.answer = answer

    with time_out_once(lambda: {event.node_id for event in read_events(log)[3:]} == {"client-1", "client-2"}):
        answers = grid.exchange(questions(grid), task="evaluate", round_number=4, timeout=PATIENCE_SECONDS)

    assert [(each.client, each.failure, each.message is None) for each in answers] == [
        (0, NO_ANSWER, True),
        (1, "out of memory", True),
        (2, "", False),
    ]
    told = [(event.type, event.node_id, event.round, event.task) for event in read_events(log)]
    assert told[:3] == [("model_dispatched", node_name(client), 4, "evaluate") for client in range(3)]
    assert sorted(told[3:]) == [
        ("client_update_uploaded", "client-2", 4, "evaluate"),
        ("node_error", "client-0", 4, "evaluate"),
        ("node_error", "client-1", 4, "evaluate"),
    ]


@pytest.mark.parametrize(
    ("reason", "failure"), [("", "error code 7"), (None, "error code 7"), ("x" * 9000, "x" * 2000)]
)
def test_an_error_always_has_a_reason_that_an_event_can_carry(
    grid: RunGrid, inner: ObjectGrid, log: Path, reason: str | None, failure: str
) -> None:
    inner.answer = lambda message: Message(Error(7, reason), reply_to=message)

    answers = grid.exchange(questions(grid), task="train", round_number=1, timeout=PATIENCE_SECONDS)

    assert [answer.failure for answer in answers] == [failure] * 3
    assert [event.reason for event in read_events(log) if event.type == "node_error"] == [failure] * 3


def test_a_reply_that_nobody_waits_for_is_ignored(grid: RunGrid, inner: ObjectGrid) -> None:
    late: list[Message] = []
    inner.answer = lambda message: late.append(identify(message))
    with time_out_once(lambda: len(late) == 3):
        grid.exchange(questions(grid), task="train", round_number=1, timeout=PATIENCE_SECONDS)
    inner._replies += late
    inner.answer = lambda message: Message(RecordDict(), reply_to=message)

    answers = grid.exchange(questions(grid), task="train", round_number=2, timeout=PATIENCE_SECONDS)

    assert [dict(answer.message.content) for answer in answers if answer.message] == [{}, {}, {}]


def test_an_exchange_with_nobody_is_over_at_once(grid: RunGrid, log: Path) -> None:
    assert grid.exchange([], task="train", round_number=1, timeout=PATIENCE_SECONDS) == []
    assert read_events(log) == []


# Who holds a site


def test_of_two_nodes_that_name_one_site_the_first_keeps_it_and_the_second_is_refused_by_name(
    grid: RunGrid, inner: ObjectGrid, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 1)
    inner.connected.append(555)

    grid.discover(3, timeout=PATIENCE_SECONDS, round_number=2, awaited=[1])

    assert list(grid.get_node_ids()) == [17, 404, 901]
    [told] = read_events(log)
    assert (told.type, told.node_id, told.round) == ("node_error", "client-1", 2)
    assert told.reason.startswith("node 555 says that it is site 1, as node 404 does, which came first and keeps it")


def test_a_node_that_was_refused_takes_the_site_once_the_first_is_gone(
    grid: RunGrid, inner: ObjectGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 1)
    inner.connected.append(555)
    grid.discover(3, timeout=PATIENCE_SECONDS)
    inner.connected.remove(404)

    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert list(grid.get_node_ids()) == [17, 555, 901]
    assert [each.metadata.dst_node_id for each in questions(grid)] == [17, 555, 901], "the dead one is not asked"


class KeyedGrid(ObjectGrid):
    """Its nodes prove by a key who they are."""

    def __init__(self, bound: dict[int, int | None], fingerprints: dict[int, str] | None = None) -> None:
        super().__init__()
        self._bound = bound
        self._fingerprints = fingerprints or {}

    def registrations(self) -> dict[int, Registration]:
        fingerprints = {node: self._fingerprints.get(node, f"key-{node}") for node in self._bound}
        return {node: Registration(fingerprints[node], site) for node, site in self._bound.items()}


@pytest.fixture
def keyed(log: Path) -> Iterator[Callable[[KeyedGrid], RunGrid]]:
    with Emitter(log, run_id="run", role="server") as emitter:
        yield lambda inner: RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=range(3))


def test_a_node_with_the_key_of_another_site_is_refused_whoever_came_first(
    keyed: Callable[[KeyedGrid], RunGrid], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 404, 2)  # 404 has the key of site 1 and says that it is site 2
    inner = KeyedGrid({901: 2, 17: 0, 404: 1})
    inner.connected = [404, 17, 901]
    grid = keyed(inner)

    grid.discover(2, timeout=PATIENCE_SECONDS)

    assert dict(zip(grid.clients, grid.get_node_ids(), strict=True)) == {0: 17, 2: 901}
    [told] = read_events(log)
    assert told.reason.startswith("node 404 says that it is site 2, and has the key of site 1: it is refused.")


def test_a_key_that_is_bound_to_no_site_does_not_get_one_that_is(
    keyed: Callable[[KeyedGrid], RunGrid], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 1)
    inner = KeyedGrid({901: 2, 17: 0, 404: 1, 555: None})
    inner.connected = [555, 17, 901]
    grid = keyed(inner)

    with pytest.raises(RunFailedError, match="node 555 says that it is site 1, whose key node 404 has: it is refused"):
        grid.discover(3, timeout=0.3)
    inner.connected.append(404)
    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert list(grid.get_node_ids()) == [17, 404, 901]


def test_a_site_that_comes_back_with_its_own_key_takes_the_place_of_its_former_connection(
    keyed: Callable[[KeyedGrid], RunGrid], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = KeyedGrid(dict.fromkeys([17, 404, 901, 555]), {404: "of site 1", 555: "of site 1"})
    grid = keyed(inner)
    grid.discover(3, timeout=PATIENCE_SECONDS)
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 1)
    inner.connected.append(555)  # the former is still counted as there

    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert list(grid.get_node_ids()) == [17, 555, 901]
    assert read_events(log) == []


def test_sites_of_other_runs_are_left_alone_and_named_where_one_is_missing(
    inner: ObjectGrid, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 4)
    inner.connected = [901, 404, 555]
    with Emitter(log, run_id="run", role="server") as emitter:
        grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=[1, 2, 3])

        with pytest.raises(RunFailedError) as caught:
            grid.discover(3, timeout=0.3)

    assert "missing: site 3" in str(caught.value)
    assert "connected and not of this run: site 4" in str(caught.value)
    assert grid.clients == [1, 2]
    assert read_events(log) == []


def test_a_node_whose_key_is_that_of_a_site_of_another_run_is_asked_nothing(
    keyed: Callable[[KeyedGrid], RunGrid], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTITION_OF_NODE, 555, 4)
    inner = KeyedGrid({901: 2, 17: 0, 404: 1, 555: 4})
    inner.connected.append(555)

    keyed(inner).discover(3, timeout=PATIENCE_SECONDS)

    assert 555 not in inner.asked


def test_a_node_that_never_says_who_it_is_holds_up_nobody(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid]
) -> None:
    inner.connected.append(555)
    inner.answer = lambda message: None if message.metadata.dst_node_id == 555 else identify(message)

    grid = open_grid(AlwaysRun())
    grid.discover(3, timeout=PATIENCE_SECONDS)

    assert grid.clients == [0, 1, 2]


@pytest.mark.parametrize(
    "identity", [{}, {"partition-id": "1"}, {"partition-id": -1}, {"partition-id": [1]}, {"partition-id": 1.0}]
)
def test_a_node_that_says_nothing_sensible_of_itself_is_left_out(
    inner: ObjectGrid, open_grid: Callable[[Control], RunGrid], log: Path, identity: dict[str, Any]
) -> None:
    def answer(message: Message) -> Message:
        if message.metadata.dst_node_id == 404:
            return Message(RecordDict({"config": ConfigRecord(identity)} if identity else {}), reply_to=message)
        return identify(message)

    inner.answer = answer
    grid = open_grid(AlwaysRun())

    grid.discover(2, timeout=PATIENCE_SECONDS, awaited=[])

    assert grid.clients == [0, 2]


# A Grid that blocks


class StuckGrid(ObjectGrid):
    """Its methods block for as long as the test runs, once they are to."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.stuck: set[str] = set()

    def _maybe_block(self, name: str) -> None:
        if name in self.stuck:
            self.released.wait()

    def get_node_ids(self) -> Iterable[int]:
        self._maybe_block("get_node_ids")
        return super().get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self._maybe_block("push_messages")
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._maybe_block("pull_messages")
        return super().pull_messages(message_ids)


@pytest.mark.parametrize("method", ["get_node_ids", "push_messages", "pull_messages"])
def test_a_stop_is_heard_while_the_federation_does_not_answer(method: str, log: Path) -> None:
    inner, control = StuckGrid(), Script("run")
    with Emitter(log, run_id="run", role="server") as emitter:
        grid = RunGrid(inner, control=control, emitter=emitter, sites=range(3))
        grid.discover(3, timeout=PATIENCE_SECONDS)
        sent = questions(grid)
        inner.stuck.add(method)
        control._wishes = ["run", "run", "stop"]

        def ask() -> None:
            if method == "get_node_ids":
                grid.discover(3, timeout=PATIENCE_SECONDS)
            else:
                grid.exchange(sent, task="train", round_number=1, timeout=PATIENCE_SECONDS)

        try:
            with pytest.raises(RunStoppedError):
                ask()
        finally:
            inner.released.set()


def test_a_federation_that_takes_no_message_within_the_time_out_ends_the_run_with_that_reason(log: Path) -> None:
    inner = StuckGrid()
    with Emitter(log, run_id="run", role="server") as emitter:
        grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=range(3))
        grid.discover(3, timeout=PATIENCE_SECONDS)
        inner.stuck.add("push_messages")
        try:
            with pytest.raises(RunFailedError, match="the federation has not answered within 0 s"):
                grid.exchange(questions(grid), task="train", round_number=1, timeout=0.2)
        finally:
            inner.released.set()
