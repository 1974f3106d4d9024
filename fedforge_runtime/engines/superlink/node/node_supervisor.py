"""Keeps one site's node running: starts it, sees it end, starts it again; also in the foreground, as a service."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines import TEMPLATE_MODULES
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import CLIENT_APP
from fedforge_runtime.engines.superlink.certificates import node_identity
from fedforge_runtime.engines.superlink.log import LogReader
from fedforge_runtime.engines.superlink.node.node import NodeSpec, run_node
from fedforge_runtime.errors import ConfigError, NodeRefusedError, ProcessStartError, RunStoppedError
from fedforge_runtime.processes import LOST_SIGHT, TEMPLATE, ProcessIdentity, describe_exit
from fedforge_runtime.processes.stop_signal import StopSignal
from fedforge_runtime.sites.node_data import HOME, SHARDS
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.backoff import Backoff

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
_GRACE_SECONDS = 3.0
_WATCH_SECONDS = 0.2
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


def check_node(*, shards: Path | None, key: Path | None, home: Home) -> None:
    """Refuse what `serve_node` could only refuse later.

    Raises:
        ConfigError: the shards or the key are not there.
    """
    if shards and not shards.is_dir():
        raise ConfigError(
            f"there is no folder of shards {shards}.", remedy="Give the site-… folder that you were handed."
        )
    if key:
        node_identity(key, home.federation / "unused")


def serve_node(
    link: LinkAddress,
    *,
    site: int,
    shards: Path | None,
    key: Path | None,
    threads: int,
    home: Home,
    say: Callable[[str], None],
) -> None:
    """Keep a node running until SIGTERM or SIGINT.

    Args:
        shards: that were handed to the site, or the one that was made of its own data; by default those of its home.

    Raises:
        NodeRefusedError: the SuperLink does not take this node.
    """
    folder = home.federation
    folder.mkdir(parents=True, exist_ok=True)
    stop = StopSignal()
    stop.hear_signals()
    TEMPLATE.start(*TEMPLATE_MODULES["superlink"])

    def report(node: NodeSupervisor) -> None:
        if node.process_id is not None:
            say(f"site {site}: node started, process {node.process_id}")
        elif node.refusal is None:
            say(f"site {site}: the node ended ({node.ends[-1]}): it is started again")

    supervisor = NodeSupervisor(
        NodeSpec(
            link=link,
            site=site,
            folder=folder,
            client_app=CLIENT_APP,
            node_config={HOME: str(home.root), **({SHARDS: str(shards)} if shards else {})},
            key=key,
            threads=threads,
        ),
        changed=report,
    )
    say(f"site {site}: connecting to {link}; log {supervisor.spec.log}")
    said = LogReader(supervisor.spec.log)
    supervisor.start()
    try:
        while not stop.wait(_WATCH_SECONDS):
            for text in said.read_new():
                say(f"site {site}: {text}")
            if supervisor.refusal is not None:
                raise NodeRefusedError(supervisor.refusal)
    finally:
        supervisor.stop()
    say(f"site {site}: ended")
