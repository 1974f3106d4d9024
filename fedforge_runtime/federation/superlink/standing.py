"""A federation that outlives runs: a SuperLink that is started again when it dies, nodes, and `flwr run`.

One process owns all of it and writes what is there to `federation/state.json` of its home.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from fedforge_runtime.artifacts import read_json, write_atomically, write_json
from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.errors import RunError, RunFailedError
from fedforge_runtime.federation.engines import TEMPLATE_MODULES
from fedforge_runtime.federation.engines.base import CLIENT_APP
from fedforge_runtime.federation.holdings import HOME, SHARDS
from fedforge_runtime.federation.superlink.address import LinkAddress
from fedforge_runtime.federation.superlink.certificates import CertificateFolder
from fedforge_runtime.federation.superlink.executor import ServerAppExecutor
from fedforge_runtime.federation.superlink.link_process import LinkProcess
from fedforge_runtime.federation.superlink.node import NodeSpec
from fedforge_runtime.federation.superlink.node_supervisor import NodeSupervisor
from fedforge_runtime.federation.superlink.registration import register_nodes
from fedforge_runtime.home import Home
from fedforge_runtime.processes import start_template
from fedforge_runtime.stop_signal import StopSignal

_WATCH_SECONDS = 0.2
_STEADY_SECONDS = 30.0
_LONGEST_DELAY_SECONDS = 10.0
_GRACE_SECONDS = 5.0


class NodeState(BaseModel):
    """One node of a standing federation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: int
    process_id: int | None
    restarts: int
    last_end: str | None
    """How its process ended the last time that nobody had asked it to."""


class FederationState(BaseModel):
    """What `federation/state.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    process_id: int
    """Of the process that owns everything else."""
    address: str
    root_certificates: str | None
    started_at: str
    ready: bool
    link_process_id: int | None
    link_restarts: int
    nodes: list[NodeState]

    def link_address(self) -> LinkAddress:
        return LinkAddress.parse(self.address, Path(self.root_certificates) if self.root_certificates else None)


@dataclass(frozen=True)
class StandingSpec:
    """What a standing federation consists of.

    Args:
        host, port: where the SuperLink listens.
        nodes: how many sites have their node on this machine.
        certificates: TLS and registered node keys; by default plain text, for the loopback interface only.
        trusted_networks: whose machines may start and drive runs, beside this one.
    """

    host: str
    port: int
    nodes: int
    certificates: CertificateFolder | None = None
    trusted_networks: tuple[str, ...] = ()

    @property
    def reach(self) -> LinkAddress:
        """How this machine reaches the SuperLink."""
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return LinkAddress(host, self.port, self.certificates.ca if self.certificates else None)


@dataclass
class StandingFederation:
    """Owns the processes of a federation until it is told to end."""

    spec: StandingSpec
    home: Home
    _stop: StopSignal = field(default_factory=StopSignal, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _nodes: list[NodeSupervisor] = field(default_factory=list, init=False)
    _link_restarts: int = field(default=0, init=False)
    _ready: bool = field(default=False, init=False)
    _started_at: str = field(default="", init=False)
    _link: LinkProcess | None = field(default=None, init=False)

    def serve(self, *, when_ready: Callable[[], None] | None = None) -> None:
        """Run until SIGTERM or SIGINT.

        Args:
            when_ready: called once the SuperLink answers and the nodes are started.

        Raises:
            RunError: this home has a federation already.
            RunFailedError: the SuperLink does not start.
        """
        folder = self.home.federation
        folder.mkdir(parents=True, exist_ok=True)
        start_template(*TEMPLATE_MODULES["superlink"])
        with ExitStack() as stack:
            stack.enter_context(_owned(folder))
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._end)
            stack.callback((folder / _STATE).unlink, missing_ok=True)
            self._started_at = utc_now().isoformat()
            link = self._link = self._new_link()
            stack.callback(lambda: self._link.end(grace=_GRACE_SECONDS) if self._link else None)
            link.start()
            self._write_flower_connection()
            self._write_state()
            link.wait_until_ready()
            if self.spec.certificates:
                register_nodes(self.spec.reach, self.spec.certificates)
            for site in range(self.spec.nodes):
                node = NodeSupervisor(self._node_spec(site), changed=lambda _: self._write_state())
                self._nodes.append(node)
                stack.callback(node.stop)
                node.start()
            for node in self._nodes:
                stack.callback(node.ask_to_stop)
            executor = ServerAppExecutor(self.spec.reach, self.home)
            stack.callback(executor.stop)
            executor.start()
            self._ready = True
            self._write_state()
            if when_ready:
                when_ready()
            self._watch_link()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _new_link(self) -> LinkProcess:
        address = LinkAddress(self.spec.host, self.spec.port, self.spec.reach.root_certificates)
        options = ["--database", str(self.home.federation / "superlink.db")]
        certificates = self.spec.certificates
        if certificates:
            options += [
                *("--ssl-ca-certfile", str(certificates.ca)),
                *("--ssl-certfile", str(certificates.server_certificate)),
                *("--ssl-keyfile", str(certificates.server_key)),
                "--enable-supernode-auth",
            ]
        return LinkProcess(address, self.home.federation, options, trusted_networks=self.spec.trusted_networks)

    def _write_flower_connection(self) -> None:
        """Let Flower's own commands find this SuperLink: `FLWR_HOME=<home>/federation/flwr flwr run flower_app`."""
        certificates = self.spec.certificates
        trust = f'root-certificates = "{certificates.ca}"' if certificates else "insecure = true"
        text = f'[superlink]\ndefault = "fedforge"\n\n[superlink.fedforge]\naddress = "{self.spec.reach}"\n{trust}\n'
        folder = self.home.flower
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "config.toml", text.encode())

    def _node_spec(self, site: int) -> NodeSpec:
        certificates = self.spec.certificates
        return NodeSpec(
            link=self.spec.reach,
            site=site,
            folder=self.home.federation,
            client_app=CLIENT_APP,
            node_config={SHARDS: str(self.home.shards), HOME: str(self.home.root)},
            key=certificates.node_key(site) if certificates else None,
        )

    def _watch_link(self) -> None:
        """Start the SuperLink again whenever it dies, until the end."""
        delay, started = _WATCH_SECONDS, monotonic()
        while not self._stop.wait(_WATCH_SECONDS):
            assert self._link is not None
            ended = self._link.ended()
            if ended is None:
                continue
            self._link_restarts += 1
            self._ready = False
            if monotonic() - started > _STEADY_SECONDS:
                delay = _WATCH_SECONDS
            self._write_state()
            if self._stop.wait(delay):
                return
            delay, started = min(delay * 2, _LONGEST_DELAY_SECONDS), monotonic()
            self._link = self._new_link()
            self._link.start()
            try:
                self._link.wait_until_ready()
            except RunFailedError:
                continue  # its log says why; it is tried again
            self._ready = True
            self._write_state()

    def _write_state(self) -> None:
        with self._lock:
            nodes = [
                NodeState(
                    site=node.spec.site,
                    process_id=node.process_id,
                    restarts=len(node.ends),
                    last_end=node.ends[-1] if node.ends else None,
                )
                for node in self._nodes
            ]
            state = FederationState(
                process_id=os.getpid(),
                address=str(self.spec.reach),
                root_certificates=str(self.spec.certificates.ca) if self.spec.certificates else None,
                started_at=self._started_at,
                ready=self._ready,
                link_process_id=self._link.process_id if self._link else None,
                link_restarts=self._link_restarts,
                nodes=nodes,
            )
            write_json(self.home.federation / _STATE, state.model_dump(mode="json"))


_STATE = "state.json"
_LOCK = ".lock"


def read_federation(home: Home) -> FederationState | None:
    """The standing federation of a home; `None` when there is none, also when its owner was killed."""
    file = home.federation / _STATE
    if not file.exists() or not _is_owned(home.federation):
        return None
    try:
        return FederationState.model_validate(read_json(file))
    except (OSError, ValueError, ValidationError):  # gone, or being replaced, between the two looks
        return None


def require_federation(home: Home) -> FederationState:
    """`read_federation`, or `RunError`."""
    state = read_federation(home)
    if state is None:
        raise RunError(f"there is no federation in {home.root}.", remedy="Start one with: fedforge federation up")
    return state


def _is_owned(folder: Path) -> bool:
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _owned(folder: Path) -> FileLock:
    lock = FileLock(folder / _LOCK, timeout=1)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"there is a federation in {folder} already.",
            remedy="See it with: fedforge federation status; end it with: fedforge federation down",
        ) from error
    return lock


def online_nodes(infos: Sequence[Any]) -> list[Any]:
    """Those of Flower's `NodeInfo` that are online."""
    return [info for info in infos if info.status == "online"]
