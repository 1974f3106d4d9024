"""A node's side of Flower's fleet protocol: be known, be alive, take messages, give answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
from flwr.app import Message

from fedforge_runtime import __version__
from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.certificates import NodeKeys
from fedforge_runtime.engines.superlink.log import say
from fedforge_runtime.engines.superlink.node.link_answers import (
    LinkAwayError,
    LinkForgotError,
    RunOverError,
    flower_code,
    refusal_in_words,
    understood,
)
from fedforge_runtime.engines.superlink.node.objects import ContentGoneError, Incoming, ObjectLine, Outgoing
from fedforge_runtime.errors import NodeRefusedError
from fedforge_runtime.federation.forwarding import Arrival
from fedforge_runtime.flower import protocol

VERSION_HEADER = "X-FedForge-Version"
"""By which a node says its version of FedForge to its SuperLink, with each request."""
HEARTBEAT_SECONDS = 10.0
"""The shortest that a SuperLink takes; a node that is silent for twice as long counts as gone."""
_BEAT_EVERY_SECONDS = 4.0
_STALLED_SECONDS = 5.0
"""Without more of a message's content: its sender may have given it up and have sent another."""

T = TypeVar("T")


class BrokenOffError(Exception):
    """A message was announced, and its content will not come: its sender gave it up while it was sent."""

    def __init__(self, announced: Message) -> None:
        super().__init__(announced)
        self.announced = announced


class VersionHttpInterceptor:
    """Has each request of one of Flower's clients say the version."""

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        """Flower's `ProtobufClientInterceptor`."""
        context.request.headers[VERSION_HEADER] = __version__
        return call_next(context)


class FleetConnection:
    """Flower's fleet API for one node; usable from several threads."""

    def __init__(self, address: LinkAddress, keys: NodeKeys, *, registered: bool, noted: Path | None = None) -> None:
        """Args:
        registered: the SuperLink's operator has registered the key; else the node registers itself.
        noted: file that keeps the node's id for a later process, which then takes the place of one that died.
        """
        self._address = address
        self._public_key = protocol.public_key_to_bytes(keys[1])
        self._registered = registered
        self._noted = noted
        self._client = protocol.FleetHttpClient.from_server_address(
            str(address),
            address.insecure,
            str(address.root_certificates) if address.root_certificates else None,
            interceptors=[
                protocol.RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                protocol.NodeAuthHttpInterceptor(*keys),
                VersionHttpInterceptor(),
            ],
        )
        self.node_id = 0
        self._incoming: Incoming | None = None
        self._stalled_at = 0.0
        self._active = False
        self._closed = threading.Event()
        self._beating: threading.Thread | None = None

    @property
    def _node(self) -> protocol.NodeProto:
        return protocol.NodeProto(node_id=self.node_id)

    def connect(self) -> None:
        """Become an active node, with the id that the SuperLink has for this key.

        Raises:
            LinkAwayError: it cannot be reached, or does not believe the node's clock.
            NodeRefusedError: a key that nobody registered.
        """
        if not self._is_known():
            self._introduce()
        self._active = True
        if self._noted:
            try:
                self._noted.write_text(str(self.node_id))
            except OSError as error:
                say(f"a later process cannot take this node's place: {error}")
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="fleet-heartbeat", daemon=True)
            self._beating.start()

    def _is_known(self) -> bool:
        """Go on as the node that the SuperLink knows already: it activates none that it takes for connected."""
        self.node_id = self.node_id or self._noted_id()
        self._active = self.node_id != 0  # so that a refusal means the id, and not the clock
        beat = protocol.SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        try:
            return self._active and self._call(self._client.SendNodeHeartbeat, beat).success
        except (LinkForgotError, httpx.HTTPStatusError):
            return False

    def report_former_gone(self) -> bool:
        """Tell the SuperLink that an earlier process of this node is gone, if there was one that did not say so.

        The SuperLink hands out a message once, and nobody can say what that process was handed when it died: while
        the node is away, whoever waits for any of it gets an error.
        """
        former = self._noted_id()
        if not former:
            return False
        try:
            self._call(self._client.DeactivateNode, protocol.DeactivateNodeRequest(node_id=former))
        except (LinkAwayError, LinkForgotError, RunOverError, httpx.HTTPStatusError):
            return False
        return True

    def _noted_id(self) -> int:
        try:
            return int(self._noted.read_text()) if self._noted else 0
        except (OSError, ValueError):
            return 0

    def _introduce(self) -> None:
        self._active = False
        if not self._registered:
            try:
                self._call(self._client.RegisterNode, protocol.RegisterNodeFleetRequest(public_key=self._public_key))
            except httpx.HTTPStatusError as error:
                code = flower_code(error)
                if code == protocol.ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED:
                    raise NodeRefusedError(
                        f"the SuperLink at {self._address} takes registered nodes only.",
                        remedy="Have its operator register this node's public key, and start it with --key FILE.",
                    ) from error
                if code != protocol.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:  # ours, from before a restart
                    raise _refusal(self._address, error) from error
        try:
            response = self._call(
                self._client.ActivateNode,
                protocol.ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS),
            )
        except httpx.HTTPStatusError as error:
            if not self._registered and flower_code(error) == protocol.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
                raise LinkAwayError("another process is connected with this node's key, or was a moment ago") from error
            raise _refusal(self._address, error) from error
        self.node_id = response.node_id

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_EVERY_SECONDS):
            # Whatever is wrong, the next request of the node's loop meets it too and deals with it.
            with suppress(httpx.HTTPError, ValueError):
                self._client.SendNodeHeartbeat(
                    protocol.SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
                )

    def receive(self) -> Message | None:
        """The next message for this node once all of its content is there; `None` until then.

        What broke off goes on with the next call. A message of which nothing comes is left for a later one.

        Raises:
            LinkAwayError, LinkForgotError: see there.
            BrokenOffError: its content will not come.
        """
        now = monotonic()
        if self._incoming is None or now >= self._stalled_at:
            self._look(now)
        coming = self._incoming
        if coming is None:
            return None
        before = coming.arrival
        try:
            complete = coming.take(self._line(coming.announced.metadata.run_id))
        except ContentGoneError as error:
            self._incoming = None
            raise BrokenOffError(coming.announced) from error
        except RunOverError:
            self._incoming = None
            return None
        finally:
            if coming.arrival != before:
                self._stalled_at = monotonic() + _STALLED_SECONDS
        if not complete:
            return None
        self._incoming = None
        return coming.message()

    def _look(self, now: float) -> None:
        response = self._call(self._client.PullMessages, protocol.PullMessagesRequest(node=self._node))
        self._stalled_at = now + _STALLED_SECONDS
        for proto, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            known = self._incoming and self._incoming.announced.metadata.message_id
            if proto.metadata.message_id != known:
                self._incoming = Incoming(protocol.message_from_proto(proto), tree)

    def forget_incoming(self) -> None:
        """Give up a message of which only a part has come: whoever sent it is gone."""
        self._incoming = None

    @property
    def receiving(self) -> Arrival | None:
        """How much has come of a message that is on its way; `None` while there is none."""
        return self._incoming.arrival if self._incoming else None

    def send(self, reply: Outgoing, run_id: int, progress: Callable[[Arrival], None] = lambda sent: None) -> None:
        """Give an answer; after an error, what is missing of it.

        Args:
            progress: told how much has gone, again and again.

        Raises:
            LinkAwayError, LinkForgotError: see there.
            RunOverError: nobody waits for it any more.
        """
        try:
            reply.send(self._announce, self._line(run_id), progress)
        except ContentGoneError as error:
            raise RunOverError from error

    def _announce(
        self, messages: Sequence[protocol.MessageProto], trees: Sequence[protocol.ObjectTree]
    ) -> tuple[str, Sequence[str]]:
        response = self._call(
            self._client.PushMessages,
            protocol.PushMessagesRequest(
                node=self._node, messages_list=messages, message_object_trees=trees, clientapp_runtime_list=[0.0]
            ),
        )
        return response.session_id, response.objects_to_push

    def _line(self, run_id: int) -> ObjectLine:
        return ObjectLine(
            self._node,
            run_id,
            push=lambda request: self._call(self._client.PushObject, request),
            pull=lambda request: self._call(self._client.PullObject, request),
            confirm_received=lambda request: self._call(self._client.ConfirmMessageReceived, request),
        )

    def run_config(self, run_id: int) -> dict[str, Any]:
        """What the run was started with.

        Raises:
            RunOverError: it is no longer running.
        """
        response = self._call(self._client.GetRun, protocol.GetRunRequest(node=self._node, run_id=run_id))
        return dict(protocol.run_from_proto(response.run).override_config)

    def close(self) -> None:
        """Say good-bye, so that nobody sends here any more."""
        self._closed.set()
        with suppress(httpx.HTTPError, ValueError):
            self._client.DeactivateNode(protocol.DeactivateNodeRequest(node_id=self.node_id))
        with suppress(httpx.HTTPError):
            self._client.close()

    def _call(self, method: Callable[[Any], T], request: Any) -> T:
        return understood(lambda: method(request), self._address, active=self._active)


def _refusal(address: LinkAddress, error: httpx.HTTPStatusError) -> NodeRefusedError:
    described = protocol.FlowerError.from_json(error.response.text)
    reason = refusal_in_words(described) if described else f"HTTP {error.response.status_code}"
    return NodeRefusedError(
        f"the SuperLink at {address} refused this node: {reason}.",
        remedy="Have its operator register this node's public key, and run one node with the private one (--key). "
        "Where another has just ended that had it, start this one again after half a minute.",
    )
