"""One site's SuperNode: takes the messages for it and has the installed ClientApp answer them in a worker.

Other than Flower's own, it never runs code that comes with a run: the ClientApp is the one installed here. The
worker stays, so that a message costs no start of a process, and is replaced when it dies or hangs.
"""

from __future__ import annotations

import os
import re
import signal
from collections import deque
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from flwr.app import Context, Error, Message, RecordDict

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.inprocess import client_died, handle_message
from fedforge_runtime.engines.superlink.certificates import node_identity
from fedforge_runtime.engines.superlink.log import say
from fedforge_runtime.engines.superlink.node.fleet import BrokenOffError, FleetConnection
from fedforge_runtime.engines.superlink.node.link_answers import LinkAwayError, LinkForgotError, RunOverError
from fedforge_runtime.engines.superlink.node.objects import Outgoing
from fedforge_runtime.engines.superlink.node.presence import Presence
from fedforge_runtime.errors import FedForgeError, NodeRefusedError, ProcessStartError, WorkerDiedError
from fedforge_runtime.federation.forwarding import Arrival
from fedforge_runtime.federation.packing import packing_mod
from fedforge_runtime.flower.messages import ErrorCode
from fedforge_runtime.processes import WorkerPool, die_with_owner, share_template
from fedforge_runtime.processes.stop_signal import StopSignal
from fedforge_runtime.sites.settings import PARTITION_ID
from fedforge_runtime.telemetry.backoff import Backoff

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
_SHORTEST_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 0.25
_BUSY_POLL_SECONDS = 1.0
"""While a worker is at work: only what makes its work worthless can come."""
_IDLE_POLL_SECONDS = 2.0
_ACTIVE_SECONDS = 60.0
"""A run that has sent nothing for as long is asked for less often."""
_RUN_CHECK_SECONDS = 1.0
_RECONNECT_SECONDS = 0.05
"""After the first failure, as where a line was cut."""
_LONGEST_RECONNECT_SECONDS = 1.0
_TRANSFER_SAY_SECONDS = 5.0
"""How often it is said how far a message is on its way."""
_HEARD_SECONDS = 10.0
_MISSED_SECONDS = 1.0
"""Long enough for a run to ask for answers, and to learn that an earlier process of the node will give none."""


@dataclass(frozen=True)
class NodeSpec:
    """What a node must know to start.

    Args:
        link: where its SuperLink is.
        site: its partition id.
        node_config: what the ClientApp finds in `context.node_config`, beside the partition id.
        folder: where its key, its log and its number are.
        client_app: `module:attribute` of the installed ClientApp.
        key: the private key that the SuperLink's operator has registered; by default one of its own.
        threads: torch threads of its worker.
    """

    link: LinkAddress
    site: int
    folder: Path
    client_app: str
    node_config: Mapping[str, Any] = field(default_factory=dict)
    key: Path | None = None
    threads: int = 1

    @property
    def log(self) -> Path:
        return self.folder / f"site-{self.site}.log"

    @property
    def heard(self) -> Path:
        """Touched while the SuperLink answers, for who looks from outside at whether the node is well."""
        return self.folder / f"site-{self.site}.heard"

    @property
    def node_id(self) -> Path:
        """The id that the SuperLink knows the node by, for its next process."""
        return self.folder / f"site-{self.site}.node-id"


def run_node(spec: NodeSpec) -> None:
    """The main function of a node's process; it ends with the process that started it."""
    die_with_owner()
    share_template()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with spec.log.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        node = Node(spec)
        signal.signal(signal.SIGTERM, node.stop)
        try:
            node.run()
        except (FedForgeError, OSError) as error:
            say(f"error: {error}")
            # What else it is a fresh process may not meet again: it is started anew.
            os._exit(error.exit_code if isinstance(error, NodeRefusedError) else 1)


def answer(client_app: str, message: Message, context: Context) -> tuple[Message, Context]:
    """In the worker: the ClientApp's answer, packed as the question was, and the context as it left it."""
    return packing_mod(message, context, lambda asked, _: handle_message(client_app, asked, context)[0]), context


@dataclass
class _Work:
    """A message and what becomes of it."""

    message: Message
    outcome: Future[tuple[Message, Context]]
    next_check: float
    reply: Outgoing | None = None


class Node:
    """Takes one message after another, for as long as it is not stopped."""

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._fleet = FleetConnection(
            spec.link,
            node_identity(spec.key, spec.folder / f"site-{spec.site}.key"),
            registered=spec.key is not None,
            noted=spec.node_id,
        )
        self._pool = WorkerPool(1, threads=spec.threads)
        self._contexts: dict[int, Context] = {}
        self._waiting: deque[Message] = deque()
        self._work: _Work | None = None
        self._workerless: ProcessStartError | None = None
        """Why no worker can be started: this process ends, and another may find a template again."""
        self._stop = StopSignal()
        self._node_config = {PARTITION_ID: spec.site, **spec.node_config}
        self._presence = Presence(self._node_config)
        self._last_message = float("-inf")
        self._said = ""
        self._heard_at = float("-inf")
        self._transfer_said_at = monotonic()
        self._away = Backoff(_RECONNECT_SECONDS, _LONGEST_RECONNECT_SECONDS)
        self._pause = _SHORTEST_POLL_SECONDS

    def stop(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: end after the present request to the SuperLink."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            NodeRefusedError: the SuperLink does not take this node.
            ProcessStartError: no worker can be started.
        """
        with self._pool:
            if self._fleet.report_former_gone():
                self._stop.wait(_MISSED_SECONDS)
            self._connect()
            while not self._stop.is_set():
                try:
                    self._step()
                    self._away.reset()
                    self._note_heard()
                except LinkAwayError as error:
                    self._say_of_link(f"the SuperLink at {self._spec.link} is away: {error}")
                    self._stop.wait(self._away.after_failure())
                    self._connect()
                except LinkForgotError:
                    say("the SuperLink has forgotten this node: introducing it again")
                    self._fleet.forget_incoming()
                    self._connect()
        self._fleet.close()

    def _note_heard(self) -> None:
        now = monotonic()
        if now >= self._heard_at + _HEARD_SECONDS:
            self._heard_at = now
            with suppress(OSError):  # a full disk ends no node
                self._spec.heard.touch()

    def _connect(self) -> None:
        while not self._stop.is_set():
            try:
                self._fleet.connect()
                self._last_message = monotonic()  # somebody started it to use it
                self._say_of_link(
                    f"connected to {self._spec.link} as site {self._spec.site}, node {self._fleet.node_id}"
                )
                return
            except LinkAwayError as error:
                self._say_of_link(f"the SuperLink at {self._spec.link} cannot be reached: {error}")
                self._stop.wait(self._away.after_failure())

    def _say_of_transfer(self, what: str, arrival: Arrival | None) -> None:
        """Say how far a message is that takes long."""
        now = monotonic()
        if arrival is None or arrival.parts == arrival.parts_total:
            self._transfer_said_at = now
        elif now >= self._transfer_said_at + _TRANSFER_SAY_SECONDS:
            self._transfer_said_at = now
            say(f"{what}: {arrival}")

    def _say_of_link(self, text: str) -> None:
        """Say how the connection is, whenever that changes: what the clocks show meanwhile is no change."""
        if (without_times := _MOMENT.sub("", text)) != self._said:
            self._said = without_times
            say(text)

    def _step(self) -> None:
        message = self._receive()
        self._say_of_transfer("receiving a message", self._fleet.receiving)
        if message is not None:
            self._last_message, self._pause = monotonic(), _SHORTEST_POLL_SECONDS
            self._accept(message)
        self._begin_next()
        if self._work:
            wait([self._work.outcome], timeout=_BUSY_POLL_SECONDS)
            self._follow(self._work)
        else:
            self._be_present()
            self._stop.wait(self._next_pause())

    def _receive(self) -> Message | None:
        try:
            return self._fleet.receive()
        except BrokenOffError as error:
            say("the content of a message does not come: its sender gave it up")
            reason = "the run's message did not come whole to the site's node"
            answer = Message(Error(ErrorCode.CLIENT_APP_CRASHED, reason), reply_to=error.announced)
            with suppress(RunOverError):
                self._fleet.send(Outgoing([answer]), answer.metadata.run_id)
            return None

    def _be_present(self) -> None:
        """Say in the run's events that this node waits, for as long as the run goes on."""
        if self._presence.is_due() and self._presence.run_id is not None:
            try:
                self._fleet.run_config(self._presence.run_id)
                self._presence.beat()
            except RunOverError:
                self._presence.leave()

    def _next_pause(self) -> float:
        """Seconds until the next poll: short after a message, and longer and longer from there."""
        if monotonic() - self._last_message > _ACTIVE_SECONDS:
            return _IDLE_POLL_SECONDS
        self._pause = min(self._pause * 1.5, _LONGEST_POLL_SECONDS)
        return self._pause

    def _accept(self, message: Message) -> None:
        run_id = message.metadata.run_id
        self._waiting = deque(each for each in self._waiting if each.metadata.run_id != run_id)
        if self._work and self._work.message.metadata.run_id == run_id:
            self._abandon("a later message of the same run has come: nobody waits for the former")
        self._waiting.append(message)
        with suppress(OSError):  # the worker's events meet it too, and its answer says so
            self._presence.note(message)

    def _begin_next(self) -> None:
        if self._work or not self._waiting:
            return
        message = self._waiting[0]  # it stays there until the run's settings have come
        context = None
        with suppress(RunOverError):
            context = self._context(message.metadata.run_id)
        self._waiting.popleft()
        if context is None:
            return
        outcome = self._pool.submit(answer, self._spec.client_app, message, context)
        self._work = _Work(message, outcome, monotonic() + _RUN_CHECK_SECONDS)

    def _context(self, run_id: int) -> Context:
        if run_id not in self._contexts:
            self._contexts = {}  # of runs that are over: their numbers never come back
            self._contexts[run_id] = Context(
                run_id=run_id,
                node_id=self._fleet.node_id,
                node_config=dict(self._node_config),
                state=RecordDict(),
                run_config=self._fleet.run_config(run_id),
            )
        return self._contexts[run_id]

    def _follow(self, work: _Work) -> None:
        """Send the answer once it is there; give the work up once nobody waits for it."""
        if work.outcome.done():
            work.reply = work.reply or Outgoing([self._reply(work)])  # goes on where it broke off
            with suppress(RunOverError):
                say_sent = partial(self._say_of_transfer, "sending an answer")
                self._fleet.send(work.reply, work.message.metadata.run_id, say_sent)
            self._work = None
            if self._workerless:
                raise self._workerless
            self._presence.postpone()
            self._last_message, self._pause = monotonic(), _SHORTEST_POLL_SECONDS
        elif monotonic() >= work.next_check:
            work.next_check = monotonic() + _RUN_CHECK_SECONDS
            try:
                self._fleet.run_config(work.message.metadata.run_id)
            except RunOverError:
                self._abandon("the run is over")

    def _reply(self, work: _Work) -> Message:
        try:
            reply, context = work.outcome.result()
            self._contexts[work.message.metadata.run_id] = context
            return reply
        except ProcessStartError as error:
            self._workerless, reason = error, error.message
        except WorkerDiedError as error:
            reason = client_died(error.death)
        except CancelledError:
            reason = "the client's process was ended before it answered"
        return Message(Error(ErrorCode.CLIENT_APP_CRASHED, reason), reply_to=work.message)

    def _abandon(self, reason: str) -> None:
        assert self._work is not None
        say(f"giving up what was at work: {reason}")
        self._pool.abandon(self._work.outcome)
        self._work = None
