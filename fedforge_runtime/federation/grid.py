"""A Grid around any engine's Grid: clients by partition id, sorted answers, time-outs, stop, events, bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.federation.forwarding import (
    AbandonsMessages,
    Arrival,
    ForwardingGrid,
    KnowsArrivals,
    KnowsFetches,
)
from fedforge_runtime.federation.messages import CONFIG, MISFIT, payload_bytes, take_events
from fedforge_runtime.federation.roster import KnowsRegistrations, Registration, Roster
from fedforge_runtime.flower.messages import ErrorCode
from fedforge_runtime.sites.settings import PARTITION_ID, SETTINGS
from fedforge_runtime.telemetry.carried import CarriedCheck
from fedforge_runtime.telemetry.control import Control, await_call, raise_if_stopped
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.wording import name_sites
from monitor.schema import (
    ClientUpdateArriving,
    ClientUpdateUploaded,
    EventsDropped,
    ModelDispatched,
    NodeError,
    RunPaused,
    RunResumed,
    SiteDescribed,
    SitesAwaited,
    SiteSeen,
    Task,
)

_SHORTEST_POLL_SECONDS = 0.001
_LONGEST_POLL_SECONDS = 0.05
_POLL_SHARE = 4.0
"""Where asking in vain is costly, as over a network, at most a fifth of the time is spent on it."""
_DISCOVERY_POLL_SECONDS = 0.1
_PAUSE_POLL_SECONDS = 0.2
_LONGEST_REASON = 2000
_ANSWER_SECONDS = 60.0
"""What the engine's Grid may take for one answer of its own."""
_SAY_SECONDS = 5.0
"""How often it is said who is waited for."""
_MOST_NAMED = 20
_RETURN_SECONDS = 5.0
"""What a client that was lost in the last round is waited for before the next."""

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back from one client: a message, or the reason why there is none."""

    client: int
    message: Message | None
    failure: str
    round_trip_seconds: float
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True)
class _Unfit:
    """Why a node does not take part."""

    site: int | None
    """`None` where it does not say which one it is."""
    reason: str
    refused: bool = False
    """It could take part, and is not let."""
    holder: int | None = None
    """The node for whose sake it is refused."""


def node_name(client: int) -> str:
    """The `node_id` of a client's events."""
    return f"client-{client}"


class RunGrid(ForwardingGrid):
    """The Grid that a run's strategy and round loop see."""

    def __init__(
        self,
        inner: Grid,
        *,
        control: Control,
        emitter: Emitter,
        sites: Sequence[int],
        settings: ConfigRecord | None = None,
        own_data: bool = False,
    ) -> None:
        """Args:
        emitter: of the run; what clients elsewhere say of themselves is passed on by it.
        sites: partition ids of the clients that belong to the run, ascending; no other is asked for anything.
        settings: what clients are told of the run with every message.
        own_data: the sites bring their own, and say themselves what they hold.
        """
        super().__init__(inner)
        self.control = control
        self._answers_at_once = bool(getattr(inner, "answers_at_once", False))
        self._settings = settings
        self._emitter = emitter
        self._carried = CarriedCheck(emitter.run_id, emitter.attempt, own_data)
        self.described: set[int] = set()
        """Sites that have said in this attempt what they hold."""
        self._seen: dict[int, tuple[str, str]] = {}
        """What was last said of where each site is."""
        self._roster = Roster(sites)
        self._strangers: dict[int, int] = {}
        """Site by node, of those that are none of the run's."""
        self._unfit: dict[int, _Unfit] = {}
        """By node, of those that cannot take part, or are not let."""
        self._questions: dict[str, int] = {}
        """Nodes that have not said yet who they are, by message."""
        self._told: set[tuple[int, str]] = set()
        self._shown: list[int] | None = None
        self._arrivals: dict[int, Arrival] = {}
        """What was last said of answers on their way, by node."""

    def _ask(self, call: Callable[[], T], timeout: float = _ANSWER_SECONDS) -> T:
        """A call into the engine's Grid, which may block: a stop is heard meanwhile.

        Raises:
            RunStoppedError: a stop was asked for.
            RunFailedError: no answer within `timeout` seconds.
        """
        if self._answers_at_once:
            return call()
        try:
            return await_call(call, self.control, timeout=timeout)
        except TimeoutError as error:
            raise RunFailedError(f"the federation has not answered within {timeout:.0f} s.") from error

    # Clients

    def _connected(self) -> set[int]:
        return set(self._ask(lambda: list(self._inner.get_node_ids())))

    @property
    def clients(self) -> list[int]:
        """Partition ids of the clients that are connected, ascending."""
        return list(self._roster.present(self._connected()))

    def show(self, clients: Sequence[int]) -> None:
        """Let strategies see these clients only."""
        self._shown = list(clients)

    def discover(self, expected: int, *, timeout: float, round_number: int = 0, awaited: Collection[int] = ()) -> None:
        """Ask nodes that are new which site they are, until `expected` of the run's are connected.

        A client that says that it cannot take part is left out, and asked again by the next call. One that takes its
        time to say who it is holds up nobody whose clients are there.

        Args:
            awaited: clients that are given a moment to come back, as one whose node is being started anew.

        Raises:
            RunFailedError: fewer answered within `timeout` seconds, and who is missing; one cannot take part and the
                others are not enough; or none can run the ClientApp.
        """
        deadline, patience_ends = monotonic() + timeout, monotonic() + min(_RETURN_SECONDS, timeout)
        say_at = monotonic() + _SAY_SECONDS
        self._unfit = {}
        pause = _SHORTEST_POLL_SECONDS
        while True:
            connected = self._connected()
            self._ask_new_nodes(connected)
            self._take_identities(connected, round_number)
            clients = self._roster.present(connected)
            if len(clients) >= expected:
                missing = set(awaited) - set(clients) - {each.site for each in self._unfit.values()}
                if not missing or monotonic() >= patience_ends:
                    return
            else:
                everybody_spoke = not self._questions or monotonic() >= patience_ends
                self._raise_if_hopeless(connected, expected, timeout, deadline, everybody_spoke)
                if monotonic() >= say_at:
                    say_at = monotonic() + _SAY_SECONDS
                    self._say_who_is_awaited(clients, round_number)
            raise_if_stopped(self.control)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS if self._questions else _DISCOVERY_POLL_SECONDS)
            time.sleep(pause)

    def _say_who_is_awaited(self, clients: Collection[int], round_number: int) -> None:
        missing = [node_name(site) for site in self._roster.sites if site not in clients]
        self._emitter.emit(
            SitesAwaited,
            round_number=round_number,
            node_id="server",
            connected=len(clients),
            missing=len(missing),
            missing_nodes=missing[:_MOST_NAMED],
        )

    def _raise_if_hopeless(
        self, connected: set[int], expected: int, timeout: float, deadline: float, everybody_spoke: bool
    ) -> None:
        clients = list(self._roster.present(connected))
        unfit = [each for each in self._unfit.values() if each.site not in clients]
        fatal = sorted({(each.site, each.reason) for each in unfit if each.site is not None and not each.refused})
        if fatal and everybody_spoke and len(self._roster.sites) - len(fatal) < expected:
            raise RunFailedError(" ".join(f"client {site} cannot take part: {reason}" for site, reason in fatal))
        broken = [each.reason for each in unfit if each.site is None]
        if broken and len(broken) == len(connected):
            raise RunFailedError(broken[0])
        if monotonic() >= deadline:
            raise RunFailedError(
                f"only {len(clients)} of {expected} clients connected within {timeout:.0f} s"
                f"{self._who_is_missing(clients)}."
            )

    def _who_is_missing(self, clients: Sequence[int]) -> str:
        missing = [site for site in self._roster.sites if site not in clients]
        strangers = sorted(set(self._strangers.values()))
        parts = [
            f"missing: {name_sites(missing)}" if missing else "",
            f"connected and not of this run: {name_sites(strangers)}" if strangers else "",
            *sorted({each.reason.rstrip(".") for each in self._unfit.values()}),
        ]
        return "".join(f"; {part}" for part in parts if part)

    def _ask_new_nodes(self, connected: set[int]) -> None:
        """Ask nodes that have not said who they are, and those refused for the sake of a node that is gone by now."""
        for node, each in list(self._unfit.items()):
            if each.holder is not None and each.holder not in connected:
                del self._unfit[node]
        holders = self._roster.present(connected).values()
        new = sorted(connected - {*holders, *self._strangers, *self._questions.values(), *self._unfit})
        if not new:
            return
        bound = {node: each.site for node, each in self._registrations().items() if each.site is not None}
        foreign = {node: bound[node] for node in new if node in bound and self._roster.is_stranger(bound[node])}
        self._strangers |= foreign
        questions = [Message(RecordDict(), node, MessageType.QUERY) for node in new if node not in foreign]
        if questions:
            self._questions |= self._push(self._with_settings(questions), _ANSWER_SECONDS)

    def _registrations(self) -> Mapping[int, Registration]:
        return self._ask(self._inner.registrations) if isinstance(self._inner, KnowsRegistrations) else {}

    def _take_identities(self, connected: set[int], round_number: int) -> None:
        """What nodes that were asked have said."""
        if not self._questions:
            return
        replies = self._ask(lambda: list(self._inner.pull_messages(list(self._questions))))
        registrations = self._registrations() if replies else {}
        for reply in replies:
            node = self._questions.pop(reply.metadata.reply_to_message_id, None)
            if node is None or (reply.has_error() and reply.error.code == ErrorCode.NODE_UNAVAILABLE):
                continue  # it went between the two questions, and may come back
            unfit = self._identity(node, reply, registrations, connected)
            if unfit is None:
                continue
            self._unfit[node] = unfit
            about = node if unfit.site is None else unfit.site
            if (about, unfit.reason) not in self._told:
                self._told.add((about, unfit.reason))
                name = f"node-{node}" if unfit.site is None else node_name(unfit.site)
                self._emitter.emit(NodeError, round_number=round_number, node_id=name, reason=unfit.reason)

    def _identity(
        self, node: int, reply: Message, registrations: Mapping[int, Registration], connected: set[int]
    ) -> _Unfit | None:
        """Take note of who a node is, or say why it cannot take part."""
        if reply.has_error():
            return _Unfit(None, f"node {node} cannot run the ClientApp: {reply.error.reason}"[:_LONGEST_REASON])
        identity: Mapping[str, Any] = reply.content.config_records.get(CONFIG) or {}
        site = identity.get(PARTITION_ID)
        if not isinstance(site, int) or isinstance(site, bool) or site < 0:
            return _Unfit(None, f"node {node} does not say which site it is")
        if self._roster.is_stranger(site):
            self._strangers[node] = site
            return None
        refusal = self._roster.refusal(node, site, registrations, connected)
        if refusal:
            return _Unfit(site, refusal.reason, refused=True, holder=refusal.holder)
        if MISFIT in identity:
            return _Unfit(site, str(identity[MISFIT])[:_LONGEST_REASON])
        self._roster.admit(node, site, registrations)
        return None

    # Control

    def gate(self, round_number: int) -> None:
        """Wait here while the run is paused; called before each round.

        Raises:
            RunStoppedError: a stop was asked for.
        """
        paused = False
        while self.control.desired() == "pause":
            if not paused:
                self._emitter.emit(RunPaused, round_number=round_number, node_id="server")
                paused = True
            time.sleep(_PAUSE_POLL_SECONDS)
        raise_if_stopped(self.control)
        if paused:
            self._emitter.emit(RunResumed, round_number=round_number, node_id="server")

    # Exchange

    def exchange(self, requests: Iterable[Message], *, task: Task, round_number: int, timeout: float) -> list[Answer]:
        """Send one message to each of several clients and wait for their answers.

        Returns:
            One `Answer` a request, in the order of partition ids, whatever the order of arrival.
        """
        sent = self._with_settings(requests)
        sizes = {message.metadata.dst_node_id: payload_bytes(message) for message in sent}
        started, self._arrivals = monotonic(), {}
        for message in sent:
            client = self._roster.site_of(message.metadata.dst_node_id)
            self._emitter.emit(
                ModelDispatched,
                round_number=round_number,
                node_id=node_name(client),
                task=task,
                payload_bytes=sizes[message.metadata.dst_node_id],
            )
        answers = []

        def say(waiting: Mapping[str, int]) -> None:
            self._say_what_arrives(sizes, task, round_number)
            self._say_who_is_seen(waiting, task, round_number)

        for node, reply in self._round_trip(sent, timeout, say):
            seconds = monotonic() - started
            client = self._roster.site_of(node)
            self._take_events(client, reply, task, round_number)
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

    def _take_events(self, client: int, reply: Message | None, task: Task, round_number: int) -> None:
        """Put what a site elsewhere says of its task into the run's log, and say what of it is not its own to say."""
        lines = None if reply is None or reply.has_error() else take_events(reply.content)
        if lines is None:
            return
        checked = self._carried.check(lines, node_id=node_name(client), round_number=round_number)
        for event in checked.events:
            self._emitter.pass_on(event)
            if isinstance(event, SiteDescribed):
                self.described.add(client)
        if checked.dropped:
            self._emitter.emit(
                EventsDropped,
                round_number=round_number,
                node_id=node_name(client),
                task=task,
                count=checked.dropped,
                reason=checked.reason,
            )

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

    def report_flaw(self, client: int, task: Task, round_number: int, reason: str) -> None:
        """Say in the run's events that a client has no part in a task, whose answer came or was not asked for."""
        self._emitter.emit(
            NodeError, round_number=round_number, node_id=node_name(client), task=task, reason=reason[:_LONGEST_REASON]
        )

    def _say_what_arrives(self, asked: Collection[int], task: Task, round_number: int) -> None:
        if not isinstance(self._inner, KnowsArrivals):
            return
        for node, arrival in self._inner.arrivals().items():
            if node not in asked or self._arrivals.get(node) == arrival:
                continue
            self._arrivals[node] = arrival
            self._emitter.emit(
                ClientUpdateArriving,
                round_number=round_number,
                node_id=node_name(self._roster.site_of(node)),
                task=task,
                payload_bytes=arrival.bytes,
                parts=arrival.parts,
                parts_total=arrival.parts_total,
            )

    def _say_who_is_seen(self, waiting: Mapping[str, int], task: Task, round_number: int) -> None:
        """Say where each site is, of those of which that has changed, where they are elsewhere."""
        if not isinstance(self._inner, KnowsFetches):
            return
        inner = self._inner
        connected = self._connected()
        fetched = self._ask(lambda: inner.fetched(list(waiting)))
        messages = {node: message for message, node in waiting.items()}
        arriving = self._inner.arrivals() if isinstance(self._inner, KnowsArrivals) else {}
        for site, node in self._roster.holders.items():
            at = "idle"
            if node in messages:
                at = "answering" if node in arriving else "fetched" if messages[node] in fetched else "asked"
            seen = "online" if node in connected else "offline", at
            if self._seen.get(site) != seen:
                self._seen[site] = seen
                self._emitter.emit(
                    SiteSeen,
                    round_number=round_number,
                    node_id=node_name(site),
                    status=seen[0],
                    at=at,
                    task=task if at != "idle" else None,
                )

    def _round_trip(
        self, sent: Sequence[Message], timeout: float, say: Callable[[Mapping[str, int]], None]
    ) -> Iterable[tuple[int, Message | None]]:
        """Yield (node, reply) as replies arrive, then (node, None) for each that is missing at the time-out.

        Args:
            say: called every few seconds meanwhile, with the nodes that are waited for by message.
        """
        if not sent:
            return
        deadline = monotonic() + timeout
        waiting = self._push(sent, timeout)
        pause, say_at = _SHORTEST_POLL_SECONDS, monotonic() + _SAY_SECONDS
        try:
            while waiting and monotonic() < deadline:
                asked = monotonic()
                replies = self._ask(lambda: list(self._inner.pull_messages(list(waiting))))
                cost = 0.0 if replies else min(monotonic() - asked, _LONGEST_POLL_SECONDS)
                for reply in replies:
                    node = waiting.pop(reply.metadata.reply_to_message_id, None)
                    if node is not None:
                        yield node, reply
                if not waiting:
                    return
                raise_if_stopped(self.control)
                if monotonic() >= say_at:
                    say_at = monotonic() + _SAY_SECONDS
                    say(waiting)
                pause = _SHORTEST_POLL_SECONDS if replies else min(pause * 1.5, _LONGEST_POLL_SECONDS)
                time.sleep(max(pause, _POLL_SHARE * cost))
        finally:
            if waiting and isinstance(self._inner, AbandonsMessages):
                self._inner.abandon(list(waiting))
        for node in waiting.values():
            yield node, None

    def _push(self, messages: Sequence[Message], timeout: float) -> dict[str, int]:
        """Hand messages over; their nodes by message."""
        pushed = self._ask(lambda: list(self._inner.push_messages(messages)), timeout)
        nodes = [message.metadata.dst_node_id for message in messages]
        if len(pushed) != len(nodes) or not all(pushed):  # Flower's word for one that is too large for its SuperLink
            raise RunFailedError(f"the federation took {sum(map(bool, pushed))} of {len(nodes)} messages.")
        return dict(zip(pushed, nodes, strict=True))

    # For strategies

    def get_node_ids(self) -> Iterable[int]:
        """Node ids of the shown clients, in the order of partition ids."""
        if self._shown is None:
            return list(self._roster.present(self._connected()).values())
        return [self._roster.node_of(client) for client in self._shown]
