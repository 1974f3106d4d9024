"""A node's side of Flower's fleet protocol: be known, be alive, take messages, give answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from flwr.app import Message
from flwr.app.message import remove_content_from_message

from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.federation.superlink import flower
from fedforge_runtime.federation.superlink.address import LinkAddress
from fedforge_runtime.federation.superlink.log import say

HEARTBEAT_SECONDS = 10.0
"""The shortest that a SuperLink takes; a node that is silent for twice as long counts as gone."""
_BEAT_EVERY_SECONDS = 4.0
_CONTENT_SECONDS = 60.0
"""How long a message's content may take to arrive after the message was announced."""
_CONTENT_POLL_SECONDS = 0.02
_AWAY = (502, 503, 504)

NodeKeys = tuple[EllipticCurvePrivateKey, EllipticCurvePublicKey]
T = TypeVar("T")


class LinkAwayError(Exception):
    """The SuperLink cannot be reached now; trying again makes sense."""


class LinkForgotError(Exception):
    """The SuperLink answers and does not know this node: it was restarted without its database."""


class NodeRefusedError(FedForgeError):
    """The SuperLink does not take this node, and trying again changes nothing."""

    exit_code = 4


class RunOverError(Exception):
    """The run that a message belongs to is no longer running."""


class BrokenOffError(Exception):
    """A message was announced, and its content does not come: its sender died while it was sent."""


class FleetConnection:
    """Flower's fleet API for one node; usable from several threads."""

    def __init__(self, address: LinkAddress, keys: NodeKeys, *, registered: bool, noted: Path | None = None) -> None:
        """Args:
        registered: the SuperLink's operator has registered the key; else the node registers itself.
        noted: file that keeps the node's id for a later process, which then takes the place of one that died.
        """
        self._address = address
        self._public_key = flower.public_key_to_bytes(keys[1])
        self._registered = registered
        self._noted = noted
        self._client = flower.FleetHttpClient.from_server_address(
            str(address),
            address.insecure,
            str(address.root_certificates) if address.root_certificates else None,
            interceptors=[
                flower.RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                flower.NodeAuthHttpInterceptor(*keys),
            ],
        )
        self.node_id = 0
        self._active = False
        self._closed = threading.Event()
        self._beating: threading.Thread | None = None

    @property
    def _node(self) -> flower.NodeProto:
        return flower.NodeProto(node_id=self.node_id)

    def connect(self) -> None:
        """Become an active node, with the id that the SuperLink has for this key.

        Raises:
            LinkAwayError: it cannot be reached, or does not believe the node's clock.
            NodeRefusedError: wrong certificates, or a key that nobody registered.
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
        beat = flower.SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
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
            self._call(self._client.DeactivateNode, flower.DeactivateNodeRequest(node_id=former))
        except (LinkAwayError, LinkForgotError, NodeRefusedError, RunOverError, httpx.HTTPStatusError):
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
                self._call(self._client.RegisterNode, flower.RegisterNodeFleetRequest(public_key=self._public_key))
            except httpx.HTTPStatusError as error:
                code = _flower_code(error)
                if code == flower.ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED:
                    raise NodeRefusedError(
                        f"the SuperLink at {self._address} takes registered nodes only.",
                        remedy="Have its operator register this node's public key, and start it with --key FILE.",
                    ) from error
                if code != flower.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:  # ours, from before a restart
                    raise _refusal(self._address, error) from error
        try:
            response = self._call(
                self._client.ActivateNode,
                flower.ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS),
            )
        except httpx.HTTPStatusError as error:
            if not self._registered and _flower_code(error) == flower.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
                raise LinkAwayError("another process is connected with this node's key, or was a moment ago") from error
            raise _refusal(self._address, error) from error
        self.node_id = response.node_id

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_EVERY_SECONDS):
            # Whatever is wrong, the next request of the node's loop meets it too and deals with it.
            with suppress(httpx.HTTPError, ValueError):
                self._client.SendNodeHeartbeat(
                    flower.SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
                )

    def receive(self, handed_out: Callable[[Message], None] = lambda message: None) -> Message | None:
        """The next message for this node with its content; `None` when there is none.

        Args:
            handed_out: called with the message before its content is taken: from there on nobody else gets it.

        Raises:
            LinkAwayError, LinkForgotError: see there.
            BrokenOffError: its content does not come.
        """
        response = self._call(self._client.PullMessages, flower.PullMessagesRequest(node=self._node))
        if not response.messages_list:
            return None
        announced = flower.message_from_proto(response.messages_list[0])
        handed_out(announced)
        try:
            return self._pull_content(announced.metadata, response.message_object_trees[0])
        except flower.ObjectPullError as error:
            raise BrokenOffError from error
        except RunOverError:
            return None

    def _pull_content(self, metadata: Any, tree: flower.ObjectTree) -> Message:
        pull = flower.make_pull_object_fn_protobuf(
            lambda request: self._call(self._client.PullObject, request), self._node, metadata.run_id
        )
        contents = flower.pull_objects(
            [part.object_id for part in flower.iterate_object_tree(tree)],
            pull,
            max_time=_CONTENT_SECONDS,
            initial_backoff=_CONTENT_POLL_SECONDS,
            backoff_cap=_CONTENT_POLL_SECONDS * 10,
        )
        confirm = flower.make_confirm_message_received_fn_protobuf(
            lambda request: self._call(self._client.ConfirmMessageReceived, request), self._node, metadata.run_id
        )
        confirm(metadata.message_id)
        message = cast(Message, flower.inflate_object_from_contents(metadata.message_id, contents))
        message.metadata.__dict__["_message_id"] = metadata.message_id
        return message

    def send(self, reply: Message) -> None:
        """Give an answer.

        Raises:
            LinkAwayError, LinkForgotError: see there.
            RunOverError: nobody waits for it any more.
        """
        reply.metadata.__dict__["_message_id"] = reply.object_id
        run_id = reply.metadata.run_id
        with flower.no_object_id_recompute():
            response = self._call(
                self._client.PushMessages,
                flower.PushMessagesRequest(
                    node=self._node,
                    messages_list=[flower.message_to_proto(remove_content_from_message(reply))],
                    message_object_trees=[flower.get_object_tree(reply)],
                    clientapp_runtime_list=[0.0],
                ),
            )
            push = flower.make_push_object_fn_protobuf(
                lambda request: self._call(self._client.PushObject, request),
                self._node,
                run_id,
                response.session_id,
            )
            flower.push_objects(
                flower.get_all_nested_objects(reply), push, object_ids_to_push=set(response.objects_to_push)
            )

    def run_config(self, run_id: int) -> dict[str, Any]:
        """What the run was started with.

        Raises:
            RunOverError: it is no longer running.
        """
        response = self._call(self._client.GetRun, flower.GetRunRequest(node=self._node, run_id=run_id))
        return dict(flower.run_from_proto(response.run).override_config)

    def close(self) -> None:
        """Say good-bye, so that nobody sends here any more."""
        self._closed.set()
        with suppress(httpx.HTTPError, ValueError):
            self._client.DeactivateNode(flower.DeactivateNodeRequest(node_id=self.node_id))
        with suppress(httpx.HTTPError):
            self._client.close()

    def _call(self, method: Callable[[Any], T], request: Any) -> T:
        try:
            return method(request)
        except httpx.ConnectError as error:
            if "certificate" in str(error).lower():
                raise NodeRefusedError(
                    f"the certificate of the SuperLink at {self._address} is not trusted: {error}.",
                    remedy="Give the ca.pem that its certificate was made with by --root-certificates.",
                ) from error
            raise LinkAwayError(str(error)) from error
        except httpx.RemoteProtocolError as error:
            if self._address.insecure and not self.node_id:
                raise NodeRefusedError(
                    f"the SuperLink at {self._address} does not talk in plain text.",
                    remedy="Give the ca.pem that its certificate was made with by --root-certificates.",
                ) from error
            raise LinkAwayError(f"{type(error).__name__}: {error}") from error
        except httpx.RequestError as error:
            raise LinkAwayError(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # a page where a message should be
            raise LinkAwayError(f"something else answers there: {error}") from error
        except httpx.HTTPStatusError as error:
            status, code = error.response.status_code, _flower_code(error)
            if status in _AWAY or not _is_superlinks(error.response):
                raise LinkAwayError(f"HTTP {status}") from error
            if code == flower.ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED or status == httpx.codes.FORBIDDEN:
                raise RunOverError from error
            if status == httpx.codes.UNAUTHORIZED:
                if self._active:
                    raise LinkForgotError from error
                raise LinkAwayError(
                    "it does not accept this node's signature, as when the clocks of the two machines are apart: "
                    "it takes 5 s ahead to 5 minutes behind"
                ) from error
            raise


def _is_superlinks(response: httpx.Response) -> bool:
    """Whether a refusal is a SuperLink's own: a proxy's would say something else the next time."""
    try:
        described = response.json()
    except ValueError:
        return False
    return isinstance(described, dict) and "detail" in described


def _flower_code(error: httpx.HTTPStatusError) -> int | None:
    described = flower.FlowerError.from_json(error.response.text)
    return described.code if described else None


def _refusal(address: LinkAddress, error: httpx.HTTPStatusError) -> NodeRefusedError:
    described = flower.FlowerError.from_json(error.response.text)
    reason = described.message if described else f"HTTP {error.response.status_code}"
    if described and described.code == flower.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        reason = "nobody has registered its key there, or another process is connected with it, or was a moment ago"
    return NodeRefusedError(
        f"the SuperLink at {address} refused this node: {reason}.",
        remedy="Have its operator register this node's public key, and start the node with the private one by --key, "
        "once.",
    )
