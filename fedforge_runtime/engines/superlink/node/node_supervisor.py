"""Keeps one site's node running: starts it, sees it end, starts it again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.superlink.node.node import NodeSpec, run_node
from fedforge_runtime.errors import NodeRefusedError, ProcessStartError, RunStoppedError
from fedforge_runtime.processes import LOST_SIGHT, TEMPLATE, ProcessIdentity, describe_exit
from fedforge_runtime.telemetry.backoff import Backoff

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
_GRACE_SECONDS = 3.0
_STEADY_SECONDS = 30.0
"""A node that ran for as long is started again without delay."""


class NodeSupervisor:
    """Watches the process of one node in a thread.

    Args:
        spec: the node.
        changed: called in the watching thread when a process has started, and when one ended unasked.
    """

    def __init__(self, spec: NodeSpec, *, changed: Callable[[NodeSupervisor], None] = lambda supervisor: None) -> None:
        self.spec = spec
        self._changed = changed
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._process: BaseProcess | None = None
        self._identity: ProcessIdentity | None = None
        self._thread = threading.Thread(target=self._watch, name=f"supervise-site-{spec.site}", daemon=True)
        self.ends: list[str] = []
        """How each process ended that nobody had asked to."""
        self.refusal: str | None = None
        """Why the SuperLink does not take this node; nothing is started again then."""

    @property
    def process_id(self) -> int | None:
        process = self._process
        return process.pid if process and process.exitcode is None else None

    def start(self) -> None:
        """Start the node and watch it until `stop`."""
        self.spec.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the node end soon; what it works on is given up."""
        with self._lock:
            self._stopping.set()
            identity = self._identity
        if identity is not None:
            identity.send(signal.SIGTERM)

    def stop(self) -> None:
        """Have the node ended when this returns: asked to, then killed."""
        self.ask_to_stop()
        process = self._process
        if process is not None:
            process.join(_GRACE_SECONDS)
            self._kill()
            process.join()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        away = Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                try:
                    process = self._start()
                except RunStoppedError:
                    return
            started = monotonic()
            if process is not None:
                self._changed(self)
                process.join()
                code = process.exitcode
                assert code is not None
                if code == LOST_SIGHT:
                    self._kill()
                if self._stopping.is_set():
                    return
                self.ends.append(describe_exit(code))
                if code == NodeRefusedError.exit_code:
                    self.refusal = self._last_error()
            self._changed(self)
            if self.refusal is not None:
                return
            if monotonic() - started > _STEADY_SECONDS:
                away.reset()
            self._stopping.wait(away.after_failure())

    def _start(self) -> BaseProcess | None:
        """The node's process; `None` where the system starts none now, which counts as an end of it."""
        try:
            process = TEMPLATE.start_process(run_node, self.spec, name=f"site-{self.spec.site}")
        except ProcessStartError as error:
            self._process = self._identity = None
            self.ends.append(error.message)
            return None
        self._process, self._identity = process, ProcessIdentity.find(process.pid)
        return process

    def _last_error(self) -> str:
        lines = self.spec.log.read_text(errors="replace").splitlines() if self.spec.log.exists() else []
        errors = [line.partition(" error: ")[2] for line in lines if " error: " in line]
        return errors[-1] if errors else f"see {self.spec.log}"

    def _kill(self) -> None:
        if self._identity is not None:
            self._identity.send(signal.SIGKILL)
