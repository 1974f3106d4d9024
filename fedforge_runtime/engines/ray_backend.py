"""Flower's Ray backend, in which a process that dies takes the message of one site with it and no other.

Flower gives the actor of a process that has died to the next message, which then fails too. Here another takes its
place. Imported where Ray is there.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from ray._private import worker as ray_worker
from ray.exceptions import RayActorError, RayError

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.inprocess import client_died
from fedforge_runtime.flower.messages import ErrorCode
from fedforge_runtime.flower.simulation import (
    BasicActorPool,
    RayBackend,
    VirtualClientEngineActor,
)
from fedforge_runtime.processes import explain_death

NOTES = "notes"
"""Section of the backend's configuration with the `folder` in which it is noted how each process ended."""
_WITNESS = 'folder=$1; shift; trap : INT TERM; "$@"; echo $? > "$folder/$$"'
"""Ray does not say how a process ended: so a shell starts it, waits, and writes it down under its own number."""
_NOTE_SECONDS = 1.0
_SHELL_SIGNALS = 128
"""A shell gives a signal's number on top of it."""
_MOST_STARTS = 3


@ray.remote
class SiteActor(VirtualClientEngineActor):
    """One process, in which sites take turns."""

    def witness(self) -> int:
        """The number under which it will be noted how this process ended."""
        return os.getppid()


@contextmanager
def nothing_printed() -> Iterator[None]:
    """Have Ray print no page for a process that died while the block runs: the events say it."""
    before = ray_worker.print_to_stdstream
    ray_worker.print_to_stdstream = lambda *data, **options: None
    try:
        yield
    finally:
        ray_worker.print_to_stdstream = before


class SiteBackend(RayBackend):
    """Gives messages to actors, one at a time to each."""

    def init_ray(self, backend_config: Any) -> None:
        """Start Ray, with a witness for each process."""
        self._notes = Path(backend_config[NOTES]["folder"])
        paths = os.pathsep.join([*sys.path, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = ["sh", "-c", _WITNESS, "witness", str(self._notes), sys.executable]
        ray.init(
            runtime_env={"env_vars": {"PYTHONPATH": paths}, "py_executable": shlex.join(command)},
            include_dashboard=False,
            **backend_config[self.init_args_key],
        )

    def build(self, app_fn: Callable[[], ClientApp]) -> None:
        self.app_fn = app_fn
        self.pool = BasicActorPool(SiteActor, self.client_resources, self.actor_kwargs)
        self.pool.add_actors_to_pool(self.pool.actors_capacity)

    def process_message(self, message: Message, context: Context) -> tuple[Message, Context]:
        """A site's answer and its context, or the error that says why there is none."""
        assert self.pool is not None
        site = str(context.node_config["partition-id"])
        actor: Any = self.pool.pool.pop()
        witness = None
        try:
            actor, witness = self._living(actor)
            _, reply, changed = ray.get(actor.run.remote(self.app_fn, message, site, context))
            return reply, changed
        except RayActorError:
            actor = self.pool.create_actor_fn()  # type: ignore[no-untyped-call]
            reason = client_died(explain_death(self._exit_code(witness)))
        except RayError as error:
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
        finally:
            self.pool.pool.append(actor)
        return Message(Error(ErrorCode.CLIENT_APP_CRASHED, reason), reply_to=message), context

    def _living(self, actor: Any) -> tuple[Any, int]:
        """An actor whose process is there, and its witness: the one that is given unless it has died while idle."""
        assert self.pool is not None
        for _ in range(_MOST_STARTS - 1):
            try:
                return actor, ray.get(actor.witness.remote())
            except RayActorError:
                actor = self.pool.create_actor_fn()  # type: ignore[no-untyped-call]
        return actor, ray.get(actor.witness.remote())

    def _exit_code(self, witness: int | None) -> int | None:
        """How a process ended, once it is noted; negative for a signal."""
        note, deadline = self._notes / str(witness), monotonic() + _NOTE_SECONDS
        while monotonic() < deadline:
            if witness is not None and note.exists() and (text := note.read_text().strip()):
                code = int(text)
                return _SHELL_SIGNALS - code if code > _SHELL_SIGNALS else code
            time.sleep(0.01)
        return None
