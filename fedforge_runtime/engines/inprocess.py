"""The default engine on one machine: sites take turns in a pool of long-lived worker processes."""

from __future__ import annotations

import pkgutil
import threading
import traceback
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedforge_runtime.engines.base import Federation
from fedforge_runtime.errors import FedForgeError, ProcessStartError, WorkerDiedError
from fedforge_runtime.federation.forwarding import OwnGrid
from fedforge_runtime.flower.messages import ErrorCode, give_id, identify_as
from fedforge_runtime.processes import WorkerPool

_RUN_ID = 1
_SERVER_NODE_ID = 1
_FIRST_SITE_NODE_ID = 100


class InprocessEngine:
    """The ServerApp in this process, each site's ClientApp in one of the workers."""

    name = "inprocess"
    holds_shards = False

    def run(self, federation: Federation) -> None:
        identify_as(task_id=_RUN_ID, run_id=_RUN_ID, node_id=_SERVER_NODE_ID)
        with WorkerPool(federation.workers, threads=federation.threads) as pool:
            federation.server_app(
                grid=PoolGrid(federation, pool),
                context=Context(
                    run_id=_RUN_ID,
                    node_id=_SERVER_NODE_ID,
                    node_config={},
                    state=RecordDict(),
                    run_config=federation.whole_config,
                ),
            )


class PoolGrid(OwnGrid):
    """A Grid over a `WorkerPool`. A site's `Context` travels with its message and comes back changed."""

    answers_at_once = True
    """Its methods never block."""

    def __init__(self, federation: Federation, pool: WorkerPool) -> None:
        self._client_app = federation.client_app
        self._pool = pool
        self._lock = threading.Lock()
        self._pending: dict[str, Future[tuple[Message, Context]]] = {}
        self._requests: dict[str, Message] = {}
        self._finished: list[str] = []
        self._contexts = {
            _FIRST_SITE_NODE_ID + site: Context(
                run_id=_RUN_ID,
                node_id=_FIRST_SITE_NODE_ID + site,
                node_config={
                    "partition-id": site,
                    "num-partitions": federation.clients,
                    **federation.site_config(site),
                },
                state=RecordDict(),
                run_config=dict(federation.run_config),
            )
            for site in federation.present
        }

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        message_id = str(uuid.uuid4())
        give_id(message, message_id)
        outcome = self._pool.submit(
            handle_message, self._client_app, message, self._contexts[message.metadata.dst_node_id]
        )
        with self._lock:
            self._pending[message_id], self._requests[message_id] = outcome, message
        outcome.add_done_callback(lambda _: self._note_finished(message_id))
        return message_id

    def _note_finished(self, message_id: str) -> None:
        with self._lock:
            if message_id in self._pending:
                self._finished.append(message_id)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        wanted = set(message_ids)
        with self._lock:
            ready = [each for each in self._finished if each in wanted]
            self._finished = [each for each in self._finished if each not in wanted]
            outcomes = [(self._requests.pop(each), self._pending.pop(each)) for each in ready]
        return [self._reply(request, outcome) for request, outcome in outcomes]

    def _reply(self, request: Message, outcome: Future[tuple[Message, Context]]) -> Message:
        try:
            reply, context = outcome.result()
            self._contexts[request.metadata.dst_node_id] = context
        except ProcessStartError as error:
            reply = _crashed(request, error.message)
        except WorkerDiedError as error:
            reply = _crashed(request, client_died(error.death))
        except CancelledError:
            reply = _crashed(request, "the client's process was ended before it answered")
        give_id(reply, str(uuid.uuid4()))
        return reply

    def abandon(self, message_ids: Sequence[str]) -> None:
        """Forget these messages and free the workers that are busy with them."""
        with self._lock:
            outcomes = [self._pending.pop(each) for each in message_ids if each in self._pending]
            for message_id in message_ids:
                self._requests.pop(message_id, None)
        for outcome in outcomes:
            self._pool.abandon(outcome)


def client_died(death: str) -> str:
    """What every engine says of a client whose process ended in the midst of its work; `death` as `explain_death`."""
    return f"the client's process died before it answered: {death}"


def _crashed(request: Message, reason: str) -> Message:
    return Message(Error(ErrorCode.CLIENT_APP_CRASHED, reason), reply_to=request)


def handle_message(client_app: str, message: Message, context: Context) -> tuple[Message, Context]:
    """Where a site is: the ClientApp's answer, or the error it raised, and the context as it left it."""
    try:
        app: ClientApp = pkgutil.resolve_name(client_app)
        return app(message=message, context=context), context
    except FedForgeError as error:
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, str(error)), reply_to=message), context
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message), context
