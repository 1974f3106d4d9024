"""Drives a run over a SuperLink from this process: submits it, takes its ServerApp's part, and reports its end.

Flower's SuperLink gives the ServerApp's task of a run to whoever asks for one. A run that was started here is taken
here, so that its folder, its control and its errors are where the user is, whatever machine the SuperLink runs on.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx
from flwr.app import Context, Error, Message
from flwr.serverapp import Grid

from fedforge_runtime import __version__
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.replies import ReplyCollector, object_line
from fedforge_runtime.engines.superlink.link.deliveries import FETCHES_PATH
from fedforge_runtime.engines.superlink.link.guarded_link import REFUSAL
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.node.objects import ContentGoneError, Outgoing
from fedforge_runtime.engines.superlink.site_keys import registrations
from fedforge_runtime.errors import RunFailedError, RunStoppedError
from fedforge_runtime.federation.forwarding import Arrival, OwnGrid
from fedforge_runtime.federation.packing import PackingGrid
from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import ErrorCode, identify_as, make_message
from fedforge_runtime.telemetry.control import AlwaysRun, await_call, present_control
from fedforge_runtime.telemetry.trust import trust_of

BUNDLE_NAME = "fedforge-run"
"""Name of the bundle of a run that is driven by the process that submitted it."""
_PUBLISHER = "fedforge"
BUNDLE_ID = f"{_PUBLISHER}/{BUNDLE_NAME}"
"""How a SuperLink names that bundle."""
_TAKE_LOOKS = 200
"""So often a SuperLink is asked for the task of a run that it has taken: 10 s where it is not busy."""
_AWAY_SECONDS = 10.0
"""How long a SuperLink may be unreachable before the run ends."""
_BROKEN_OFF_SECONDS = 20.0
"""A reply that has begun to arrive is given up so long after its node went away, unless more of it has come."""
_RETRY_SECONDS = 0.25
_HEARTBEAT_SECONDS = 10.0
_SIGHT_SECONDS = 2.0
"""What the SuperLink may take to say who has fetched what."""
_END_SECONDS = 1.0
"""What the SuperLink may take to hear of the end of a run."""
MISTAKEN = "taken by another fedforge process by mistake"
"""Why a task that was taken is given back: its owner starts again."""


def control_client(address: LinkAddress, retry: protocol.RetryInvoker | None = None) -> protocol.ControlHttpClient:
    """Flower's control API: runs and nodes of a SuperLink.

    Args:
        retry: of requests that may be made twice; by default each is made once.
    """
    return control_client_at(str(address), address.insecure, address.root_certificate_bytes(), retry)


def control_client_at(
    address: str, insecure: bool, root_certificates: bytes | None, retry: protocol.RetryInvoker | None = None
) -> protocol.ControlHttpClient:
    """As `control_client`, of an address as Flower's own processes are given it."""
    return protocol.ControlHttpClient.from_server_address(
        address,
        insecure,
        root_certificates,
        interceptors=[protocol.RuntimeVersionHttpInterceptor(component_name="fedforge")],
        retry_invoker=retry,
    )


def runtime_client(
    address: LinkAddress, token: str | None = None, retry: protocol.RetryInvoker | None = None
) -> protocol.RuntimeHttpClient:
    """Flower's runtime API: tasks to take and, with a task's token, what belongs to it; `retry` as `control_client`."""
    tokens = [protocol.RuntimeTokenHttpInterceptor(token)] if token else []
    return protocol.RuntimeHttpClient.from_server_address(
        str(address),
        address.insecure,
        address.root_certificate_bytes(),
        interceptors=[protocol.RuntimeVersionHttpInterceptor(component_name="fedforge"), *tokens],
        retry_invoker=retry,
    )


def driven_bundle(run_config: Mapping[str, Any]) -> bytes:
    """A Flower app bundle without code: its apps are those of the installed package.

    Args:
        run_config: its keys are declared, since a SuperLink refuses others.
    """
    import tomli_w

    project = {
        "project": {
            "name": BUNDLE_NAME,
            "version": __version__,
            "description": "A run that is driven by the process that submitted it",
            "license": "Apache-2.0",
            "dependencies": [],
        },
        "tool": {
            "flwr": {
                "app": {
                    "publisher": _PUBLISHER,
                    "components": {
                        "serverapp": "fedforge_runtime.engines.superlink.app.driven_app:app",
                        "clientapp": "fedforge_runtime.federation.client_app:app",
                    },
                    "config": dict.fromkeys(run_config, ""),
                }
            }
        },
    }
    return protocol.build_bundle({"pyproject.toml": tomli_w.dumps(project).encode()})


@contextmanager
def driven_run(
    address: LinkAddress, federation: Federation, *, link: LinkProcess | None = None
) -> Iterator[tuple[Grid, Context]]:
    """Submit a run and be its ServerApp while the block runs.

    Args:
        link: the SuperLink's process, where it is ours to watch.

    Yields:
        The Grid to the nodes and the ServerApp's context.

    Raises:
        RunFailedError: the SuperLink cannot be reached, or somebody else took the run.
        RunStoppedError: the run was stopped by means of Flower.
    """
    control = present_control()
    with _translated(address, link):
        token = await_call(lambda: _submit(address, federation.run_config), control)
    runtime = runtime_client(address, token, _patience(link))
    done = threading.Event()
    try:
        with _translated(address, link):
            inputs = await_call(lambda: runtime.PullTaskInput(protocol.PullTaskInputRequest()), control)
        identify_as(task_id=inputs.task_id, run_id=inputs.run.run_id, node_id=inputs.context.node_id)
        context = protocol.context_from_proto(inputs.context)
        context.run_config = federation.whole_config
        threading.Thread(target=_beat, args=(address, token, done), name="task-heartbeat", daemon=True).start()
        with closing(LinkGrid(runtime, address, link)) as grid:
            grid.set_run(protocol.run_from_proto(inputs.run))
            yield PackingGrid(grid, lambda: node_registrations(address, _patience(link))), context
        outcome, details = protocol.SubStatus.COMPLETED, ""
    except BaseException as error:
        stopped = isinstance(error, (RunStoppedError, KeyboardInterrupt))
        outcome = protocol.SubStatus.STOPPED if stopped else protocol.SubStatus.FAILED
        details = f"{type(error).__name__}: {error}"[:500]
        raise
    finally:
        done.set()
        if link is None or link.ended() is None:
            with suppress(TimeoutError):  # one that does not answer finds out by the missing heartbeat
                await_call(lambda: _report_end(address, token, outcome, details), AlwaysRun(), timeout=_END_SECONDS)
        with suppress(httpx.HTTPError):
            runtime.close()


class LinkGrid(OwnGrid):
    """A Grid over a SuperLink, whose troubles end the run with a reason."""

    def __init__(self, runtime: protocol.RuntimeHttpClient, address: LinkAddress, link: LinkProcess | None) -> None:
        self._runtime = runtime
        self._address = address
        self._link = link
        self._sight = httpx.Client(
            base_url=address.url,
            verify=trust_of(address.url, address.root_certificates),
            timeout=_SIGHT_SECONDS,
            trust_env=False,
        )
        self._replies = ReplyCollector(runtime, self._connected, patience=_BROKEN_OFF_SECONDS)

    def get_node_ids(self) -> Iterable[int]:
        with _translated(self._address, self._link):
            return self._connected()

    def _connected(self) -> Sequence[int]:
        return [node.node_id for node in self._runtime.GetNodes(protocol.GetNodesRequest()).nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        with _translated(self._address, self._link):
            return self._push(Outgoing(list(messages)))

    def _push(self, outgoing: Outgoing) -> Sequence[str]:
        ids: list[str] = []

        def announce(
            messages: Sequence[protocol.MessageProto], trees: Sequence[protocol.ObjectTree]
        ) -> tuple[str, Sequence[str]]:
            request = protocol.PushAppMessagesRequest(messages_list=messages, message_object_trees=trees)
            response = self._runtime.PushMessages(request)
            ids[:] = response.message_ids
            return response.session_id, response.objects_to_push

        try:
            outgoing.send(announce, object_line(self._runtime, self.run.run_id))
        except ContentGoneError as error:
            raise RunFailedError(
                f"the SuperLink at {self._address} gave up what was sent to it, again and again."
            ) from error
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        with _translated(self._address, self._link):
            return [_explained(reply) for reply in self._replies.collect(message_ids)]

    def arrivals(self) -> Mapping[int, Arrival]:
        """See `KnowsArrivals`."""
        return self._replies.arrivals()

    def fetched(self, message_ids: Sequence[str]) -> Collection[str]:
        """See `KnowsFetches`; of a SuperLink that does not say, or not now, nothing is known."""
        with suppress(httpx.HTTPError, ValueError):
            answer = self._sight.post(FETCHES_PATH, json=list(message_ids))
            if answer.is_success:
                return set(answer.json())
        return ()

    def close(self) -> None:
        """Close what `fetched` asks with."""
        self._sight.close()


def _explained(reply: Message) -> Message:
    """Flower's word for a node that is away says only that its heartbeat is missing."""
    if reply.has_error() and reply.error.code == ErrorCode.NODE_UNAVAILABLE:
        error = Error(reply.error.code, "the site's node is gone, or was started anew and knows nothing of it")
        return make_message(metadata=reply.metadata, error=error)
    return reply


def _submit(address: LinkAddress, run_config: Mapping[str, Any]) -> str:
    """Start a run and take its ServerApp's task, whose token is returned; again, when another took it by mistake."""
    bundle = driven_bundle(run_config)
    fab = protocol.fab_to_proto(protocol.Fab(hashlib.sha256(bundle).hexdigest(), bundle, {}))
    request = protocol.StartRunRequest(fab=fab, override_config=protocol.user_config_to_proto(dict(run_config)))
    with control_client(address) as control, runtime_client(address) as runtime:
        while True:
            run_id = control.StartRun(request).run_id
            if not run_id:
                raise RunFailedError(f"the SuperLink at {address} did not take the run.", remedy="See its log.")
            if token := _take(control, runtime, run_id, address):
                return token


def _take(
    control: protocol.ControlHttpClient,
    runtime: protocol.RuntimeHttpClient,
    run_id: int,
    address: LinkAddress,
) -> str | None:
    """The token of our run's task; `None` where another process had it and gave it back."""
    looks = 0
    while True:
        looks += 1
        offered = runtime.AcquireTask(protocol.AcquireTaskRequest(supported_task_types=[protocol.TaskType.SERVER_APP]))
        if offered.token and offered.task.run_id == run_id:
            return str(offered.token)
        if offered.token:
            give_back(address, offered.token, MISTAKEN)
            continue
        status = control.ListRuns(protocol.ListRunsRequest(run_id=run_id)).run_dict[run_id].status
        if status.status != protocol.Status.PENDING and MISTAKEN in status.details:
            return None
        if status.status != protocol.Status.PENDING and looks >= _TAKE_LOOKS:
            raise RunFailedError(
                f"another process took the run from the SuperLink at {address}"
                f"{f' ({status.details})' if status.details else ''}.",
                remedy="Start that SuperLink with --isolation process and no flower-superexec beside it, "
                "or by: fedforge federation up",
            )
        if looks >= _TAKE_LOOKS:
            raise RunFailedError(f"the SuperLink at {address} has taken the run and does not hand it out.")
        time.sleep(0.05)


def give_back(address: LinkAddress, token: str, reason: str) -> None:
    """End a task that was taken and is not carried out."""
    with runtime_client(address, token) as client, suppress(httpx.HTTPError):
        client.PullTaskInput(protocol.PullTaskInputRequest())
        client.PushTaskOutput(protocol.PushTaskOutputRequest(sub_status=protocol.SubStatus.FAILED, details=reason))


def _report_end(address: LinkAddress, token: str, outcome: str, details: str) -> None:
    with suppress(httpx.HTTPError), runtime_client(address, token) as client:
        client.PushTaskOutput(protocol.PushTaskOutputRequest(sub_status=outcome, details=details))


def _beat(address: LinkAddress, token: str, done: threading.Event) -> None:
    """Say that the ServerApp is alive; a SuperLink that is away is met by the grid's next request."""
    with runtime_client(address, token) as client:
        while not done.wait(_HEARTBEAT_SECONDS):
            with suppress(httpx.HTTPError):
                client.SendTaskHeartbeat(protocol.SendTaskHeartbeatRequest())


def _patience(link: LinkProcess | None) -> protocol.RetryInvoker:
    """How long requests are repeated. Flower's own would go on for ever, and end this process on a stop."""

    def give_up(error: Exception) -> bool:
        if link and link.ended() is not None:
            return True
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code not in (502, 503, 504)
        return "certificate" in str(error).lower()

    return protocol.RetryInvoker(
        wait_gen_factory=lambda: protocol.constant(_RETRY_SECONDS),
        recoverable_exceptions=(httpx.TransportError, httpx.HTTPStatusError),
        max_tries=None,
        max_time=_AWAY_SECONDS,
        jitter=None,
        should_giveup=give_up,
    )


@contextmanager
def _translated(address: LinkAddress, link: LinkProcess | None) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        if REFUSAL in error.response.text:
            raise RunFailedError(
                f"the SuperLink at {address} lets this machine have a node, and not start runs.",
                remedy="Have its operator add `--trust NETWORK` to `fedforge federation up`, or go through "
                "`ssh -L` to that machine.",
            ) from error
        if error.response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RunStoppedError("stopped: by means of Flower, or its SuperLink was restarted.") from error
        described = protocol.FlowerError.from_json(error.response.text)
        reason = described.message if described else f"HTTP {error.response.status_code}"
        raise RunFailedError(f"the SuperLink at {address} refused a request: {reason}") from error
    except ValueError as error:
        if str(error) != protocol.NO_MESSAGE:
            raise
        raise RunFailedError(
            f"something else than a SuperLink answers at {address}.",
            remedy="See what lies between: a proxy or a sign-in page may answer in its place.",
        ) from error
    except httpx.RequestError as error:
        if link:
            link.raise_if_ended()
        remedy = "See whether it runs, and whether address and certificates are right."
        if "certificate has expired" in str(error):
            remedy = "Make new certificates with `fedforge federation certs`, and start the federation with them."
        raise RunFailedError(f"the SuperLink at {address} cannot be reached", cause=error, remedy=remedy) from error


def node_states(address: LinkAddress, retry: protocol.RetryInvoker | None = None) -> Sequence[Any]:
    """Flower's `NodeInfo` of every node that a SuperLink knows."""
    with _translated(address, None), control_client(address, retry) as control:
        return list(control.ListNodes(protocol.ListNodesRequest()).nodes_info)


def node_registrations(address: LinkAddress, retry: protocol.RetryInvoker | None = None) -> dict[int, Registration]:
    """What a SuperLink knows of its nodes' keys, by node id."""
    return registrations(node_states(address, retry), secured=not address.insecure)
