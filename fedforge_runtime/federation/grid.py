"""A Grid around any engine's Grid: clients by partition id, sorted answers, time-outs, stop, events, bytes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedforge_runtime.clock import monotonic
from fedforge_runtime.control import Control
from fedforge_runtime.errors import RunFailedError, RunStoppedError
from fedforge_runtime.federation.messages import CONFIG, MISFIT, PARTITION_ID, payload_bytes
from fedforge_runtime.federation.settings import SETTINGS
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import ClientUpdateUploaded, ModelDispatched, NodeError, RunPaused, RunResumed, Task

_SHORTEST_POLL_SECONDS = 0.001
_LONGEST_POLL_SECONDS = 0.05
_POLL_SHARE = 4.0
"""Where asking in vain is costly, as over a network, at most a fifth of the time is spent on it."""
_DISCOVERY_POLL_SECONDS = 0.1
_PAUSE_POLL_SECONDS = 0.2
_LONGEST_REASON = 2000
_RETURN_SECONDS = 5.0
"""What a client that was lost in the last round is waited for before the next."""


@runtime_checkable
class AbandonsMessages(Protocol):
    """A Grid that can free what a message without an answer still occupies."""

    def abandon(self, message_ids: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Answer:
    """What came back from one client: a message, or the reason why there is none."""

    client: int
    message: Message | None
    failure: str
    round_trip_seconds: float
    bytes_sent: int
    bytes_received: int


def node_name(client: int) -> str:
    """The `node_id` of a client's events."""
    return f"client-{client}"


class RunGrid(Grid):
    """The Grid that a run's strategy and round loop see."""

    def __init__(
        self, inner: Grid, *, control: Control, emitter: Emitter, settings: ConfigRecord | None = None
    ) -> None:
        """Args:
        settings: what clients are told of the run with every message.
        """
        self._inner = inner
        self._settings = settings
        self._control = control
        self._emitter = emitter
        self._client_of_node: dict[int, int] = {}
        self._misfits: dict[int, tuple[int, str]] = {}
        """Client and reason by node, of those that cannot take part."""
        self._told: set[tuple[int, str]] = set()
        self._shown: list[int] | None = None

    # Clients

    @property
    def clients(self) -> list[int]:
        """Partition ids of the clients that are connected, ascending."""
        connected = set(self._inner.get_node_ids())
        return sorted({client for node, client in self._client_of_node.items() if node in connected})

    def show(self, clients: Sequence[int]) -> None:
        """Let strategies see these clients only."""
        self._shown = list(clients)

    def discover(self, expected: int, *, timeout: float, round_number: int = 0, awaited: Collection[int] = ()) -> None:
        """Ask nodes that are new which partition they hold, until `expected` clients are connected.

        A client that says that it cannot take part is left out, and asked again by the next call.

        Args:
            awaited: clients that are given a moment to come back, as one whose node is being started anew.

        Raises:
            RunFailedError: fewer answered within `timeout` seconds; one of the first `expected` cannot take part
                and the others are not enough; or one cannot run the ClientApp.
        """
        deadline, patience_ends = monotonic() + timeout, monotonic() + min(_RETURN_SECONDS, timeout)
        self._misfits = {}
        while True:
            self._ask_new_nodes(max(deadline - monotonic(), 1.0), round_number)
            clients = self.clients
            if len(clients) >= expected:
                missing = set(awaited) - set(clients) - {client for client, _ in self._misfits.values()}
                if not missing or monotonic() >= patience_ends:
                    return
            else:
                self._raise_if_hopeless(expected, timeout, deadline)
            self._raise_if_stopped()
            time.sleep(_DISCOVERY_POLL_SECONDS)

    def _raise_if_hopeless(self, expected: int, timeout: float, deadline: float) -> None:
        wrong = dict(sorted(misfit for misfit in self._misfits.values() if misfit[0] < expected))
        if wrong:
            raise RunFailedError(
                " ".join(f"client {client} cannot take part: {reason}" for client, reason in wrong.items())
            )
        if monotonic() >= deadline:
            raise RunFailedError(f"only {len(self.clients)} of {expected} clients connected within {timeout:.0f} s.")

    def _ask_new_nodes(self, timeout: float, round_number: int) -> None:
        known = self._client_of_node.keys() | self._misfits.keys()
        new = [node for node in self._inner.get_node_ids() if node not in known]
        questions = [Message(RecordDict(), node, MessageType.QUERY) for node in sorted(new)]
        for node, reply in self._round_trip(self._with_settings(questions), timeout):
            if reply is None or (reply.has_error() and reply.error.code == ErrorCode.NODE_UNAVAILABLE):
                continue  # it went between the two questions, and may come back
            if reply.has_error():
                raise RunFailedError(f"node {node} cannot run the ClientApp: {reply.error.reason}")
            identity = reply.content.config_records[CONFIG]
            client = int(identity[PARTITION_ID])  # type: ignore[arg-type]
            if MISFIT in identity:
                reason = str(identity[MISFIT])[:_LONGEST_REASON]
                self._misfits[node] = client, reason
                if (client, reason) not in self._told:
                    self._told.add((client, reason))
                    self._emitter.emit(NodeError, round_number=round_number, node_id=node_name(client), reason=reason)
            else:
                self._client_of_node[node] = client

    # Control

    def gate(self, round_number: int) -> None:
        """Wait here while the run is paused; called before each round.

        Raises:
            RunStoppedError: a stop was asked for.
        """
        paused = False
        while self._control.desired() == "pause":
            if not paused:
                self._emitter.emit(RunPaused, round_number=round_number, node_id="server")
                paused = True
            time.sleep(_PAUSE_POLL_SECONDS)
        self._raise_if_stopped()
        if paused:
            self._emitter.emit(RunResumed, round_number=round_number, node_id="server")

    def _raise_if_stopped(self) -> None:
        if self._control.desired() == "stop":
            raise RunStoppedError("the run was stopped.")

    # Exchange

    def exchange(self, requests: Iterable[Message], *, task: Task, round_number: int, timeout: float) -> list[Answer]:
        """Send one message to each of several clients and wait for their answers.

        Returns:
            One `Answer` a request, in the order of partition ids, whatever the order of arrival.
        """
        sent = self._with_settings(requests)
        sizes = {message.metadata.dst_node_id: payload_bytes(message) for message in sent}
        started = monotonic()
        for message in sent:
            client = self._client_of_node[message.metadata.dst_node_id]
            self._emitter.emit(
                ModelDispatched,
                round_number=round_number,
                node_id=node_name(client),
                task=task,
                payload_bytes=sizes[message.metadata.dst_node_id],
            )
        answers = []
        for node, reply in self._round_trip(sent, timeout):
            seconds = monotonic() - started
            client = self._client_of_node[node]
            answer = self._answer(client, reply, seconds, sizes[node], timeout)
            self._report(answer, task, round_number)
            answers.append(answer)
        return sorted(answers, key=lambda answer: answer.client)

    def _with_settings(self, requests: Iterable[Message]) -> list[Message]:
        sent = list(requests)
        if self._settings is not None:
            for content in {id(request.content): request.content for request in sent}.values():
                content[SETTINGS] = self._settings
        return sent

    def _answer(self, client: int, reply: Message | None, seconds: float, sent: int, timeout: float) -> Answer:
        if reply is None:
            return Answer(client, None, f"no answer within {timeout:g} s", seconds, sent, 0)
        if reply.has_error():
            reason = reply.error.reason or f"error code {reply.error.code}"
            return Answer(client, None, reason[:_LONGEST_REASON], seconds, sent, 0)
        return Answer(client, reply, "", seconds, sent, payload_bytes(reply))

    def _report(self, answer: Answer, task: Task, round_number: int) -> None:
        about: dict[str, Any] = {
            "round_number": round_number,
            "node_id": node_name(answer.client),
            "task": task,
            "latency_ms": answer.round_trip_seconds * 1000,
        }
        if answer.message is None:
            self._emitter.emit(NodeError, reason=answer.failure, **about)
        else:
            self._emitter.emit(ClientUpdateUploaded, payload_bytes=answer.bytes_received, **about)

    def _round_trip(self, sent: Sequence[Message], timeout: float) -> Iterable[tuple[int, Message | None]]:
        """Yield (node, reply) as replies arrive, then (node, None) for each that is missing at the time-out."""
        if not sent:
            return
        deadline = monotonic() + timeout
        nodes = [message.metadata.dst_node_id for message in sent]
        waiting = dict(zip(self._inner.push_messages(sent), nodes, strict=True))
        pause = _SHORTEST_POLL_SECONDS
        try:
            while waiting and monotonic() < deadline:
                asked = monotonic()
                replies = list(self._inner.pull_messages(list(waiting)))
                cost = 0.0 if replies else min(monotonic() - asked, _LONGEST_POLL_SECONDS)
                for reply in replies:
                    node = waiting.pop(reply.metadata.reply_to_message_id, None)
                    if node is not None:
                        yield node, reply
                if not waiting:
                    return
                self._raise_if_stopped()
                pause = _SHORTEST_POLL_SECONDS if replies else min(pause * 1.5, _LONGEST_POLL_SECONDS)
                time.sleep(max(pause, _POLL_SHARE * cost))
        finally:
            if waiting and isinstance(self._inner, AbandonsMessages):
                self._inner.abandon(list(waiting))
        for node in waiting.values():
            yield node, None

    # Flower's Grid, as strategies use it

    def get_node_ids(self) -> Iterable[int]:
        """Node ids of the shown clients, in the order of partition ids."""
        shown = self.clients if self._shown is None else self._shown
        node_of_client = {client: node for node, client in self._client_of_node.items()}
        return [node_of_client[client] for client in shown]

    def set_run(self, run: Any) -> None:
        self._inner.set_run(run)

    @property
    def run(self) -> Any:
        return self._inner.run

    def create_message(self, *arguments: Any, **keywords: Any) -> Message:
        return self._inner.create_message(*arguments, **keywords)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._inner.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self._inner.send_and_receive(messages, timeout=timeout)
