"""A federation that outlives runs: a SuperLink that is started again when it dies, nodes, and `flwr run`.

One process owns all of it and writes what is there to `federation/state.json` of its home; it is started in the
foreground or in the background, and ended from elsewhere.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel

from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.engines import TEMPLATE_MODULES
from fedforge_runtime.engines.address import LinkAddress, own_host, usable_port
from fedforge_runtime.engines.base import CLIENT_APP
from fedforge_runtime.engines.superlink.app.driver import node_states
from fedforge_runtime.engines.superlink.app.executor import ServerAppExecutor
from fedforge_runtime.engines.superlink.certificates import CertificateFolder
from fedforge_runtime.engines.superlink.known_sites import SiteTeller, known_nodes, reached_sites, register_nodes
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.log import say
from fedforge_runtime.engines.superlink.node.node import NodeSpec
from fedforge_runtime.engines.superlink.node.node_supervisor import NodeSupervisor
from fedforge_runtime.errors import ConfigError, RunError, RunFailedError, RunStoppedError
from fedforge_runtime.processes import TEMPLATE, ProcessIdentity, Progress
from fedforge_runtime.processes.child import Child
from fedforge_runtime.processes.ownership import OwnedError, is_owned, owning
from fedforge_runtime.processes.stop_signal import StopSignal
from fedforge_runtime.sites.node_data import HOME, SHARDS
from fedforge_runtime.storage.artifacts import read_json, write_atomically, write_json
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import MonitorAddress

_WATCH_SECONDS = 0.2
_STEADY_SECONDS = 30.0
_LONGEST_DELAY_SECONDS = 10.0
_GRACE_SECONDS = 5.0
_STALLED_SECONDS = 90.0
"""A start of which nothing more comes to pass for so long is given up."""
_END_SECONDS = 20.0
_POLL_SECONDS = 0.1


class NodeState(BaseModel, extra="forbid", frozen=True):
    """One node of a standing federation."""

    site: int
    process_id: int | None
    restarts: int
    last_end: str | None
    """How its process ended the last time that nobody had asked it to."""


class FederationState(BaseModel, extra="forbid", frozen=True):
    """What `federation/state.json` says."""

    version: Literal[1] = 1
    process_id: int
    """Of the process that owns everything else."""
    process_started: float
    """See `ProcessIdentity`."""
    address: str
    root_certificates: str | None
    started_at: str
    ready: bool
    link_process_id: int | None
    link_restarts: int
    nodes: list[NodeState]

    @property
    def owner(self) -> ProcessIdentity:
        """The process that owns everything else."""
        return ProcessIdentity(self.process_id, self.process_started)

    def link_address(self) -> LinkAddress:
        return LinkAddress.parse(self.address, Path(self.root_certificates) if self.root_certificates else None)


@dataclass(frozen=True)
class StandingSpec:
    """What a standing federation consists of.

    Args:
        host, port: where the SuperLink listens; an IPv6 host in brackets.
        nodes: how many sites have their node on this machine.
        certificates: TLS and registered node keys; by default plain text, for the loopback interface only.
        trusted_networks: whose machines may start and drive runs, beside this one.
        monitor: is told of the sites.
    """

    host: str
    port: int
    nodes: int
    certificates: CertificateFolder | None = None
    trusted_networks: tuple[str, ...] = ()
    monitor: MonitorAddress | None = None

    @property
    def reach(self) -> LinkAddress:
        """How this machine reaches the SuperLink."""
        return LinkAddress(own_host(self.host), self.port, self.certificates.ca if self.certificates else None)


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
    _owner: ProcessIdentity = field(default_factory=ProcessIdentity.own, init=False)
    _unwritten: bool = field(default=False, init=False)
    """The state could not be written as it is; it is tried again."""

    def serve(self, *, when_ready: Callable[[], None] | None = None) -> None:
        """Run until SIGTERM or SIGINT.

        Args:
            when_ready: called once the SuperLink answers and the nodes are started.

        Raises:
            RunError: this home has a federation already.
            RunFailedError: the SuperLink does not start.
            RunStoppedError: it was told to end before it was ready.
        """
        folder = self.home.federation
        folder.mkdir(parents=True, exist_ok=True)
        if self.spec.nodes:  # else it has nothing to fork, and would keep PyTorch in memory for nobody
            TEMPLATE.start(*TEMPLATE_MODULES["superlink"])
        with ExitStack() as stack:
            stack.enter_context(_owned(folder))
            self._stop.hear_signals()
            stack.callback((folder / _STATE).unlink, missing_ok=True)
            self._started_at = utc_now().isoformat()
            link = self._link = self._new_link()
            stack.callback(lambda: self._link.end(grace=_GRACE_SECONDS) if self._link else None)
            link.start()
            self._write_flower_connection()
            self._write_state()
            link.wait_until_ready(self._raise_if_stopped)
            if self.spec.certificates:
                register_nodes(self.spec.reach, self.spec.certificates)
            for site in range(self.spec.nodes):
                node = NodeSupervisor(self._node_spec(site), changed=lambda _: self._write_state())
                self._nodes.append(node)
                stack.callback(node.stop)
                node.start()
            for node in self._nodes:
                stack.callback(node.ask_to_stop)
            stack.enter_context(ServerAppExecutor(self.spec.reach, self.home))
            if self.spec.monitor:
                teller = SiteTeller(self.spec.monitor, self.spec.reach, self.home, self.spec.certificates, say)
                stack.enter_context(teller)
            self._ready = True
            self._write_state()
            if when_ready:
                when_ready()
            self._watch_link()

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise RunStoppedError("the federation was ended before it was ready.")

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
        """Start the SuperLink again whenever it dies, until the end; ready it is once it answers."""
        away, started = Backoff(_WATCH_SECONDS, _LONGEST_DELAY_SECONDS), monotonic()
        while not self._stop.wait(_WATCH_SECONDS):
            assert self._link is not None
            if self._link.ended() is not None:
                self._ready = False
                self._link_restarts += 1
                self._write_state()
                if monotonic() - started > _STEADY_SECONDS:
                    away.reset()
                self._restart_link(away)
                started = monotonic()
            elif not self._ready and self._link.answers():
                self._ready = True
                self._write_state()
            elif self._unwritten:
                self._write_state()

    def _restart_link(self, away: Backoff) -> None:
        """Have a SuperLink again that is starting, unless it is all to end meanwhile."""
        while not self._stop.wait(away.after_failure()):
            link = self._new_link()
            try:
                link.start()
            except OSError as error:
                say(f"the SuperLink cannot be started: {error}")
                continue
            self._link = link
            self._write_state()
            return

    def _write_state(self) -> None:
        with self._lock:
            state = FederationState(
                process_id=self._owner.process_id,
                process_started=self._owner.started,
                address=str(self.spec.reach),
                root_certificates=str(self.spec.certificates.ca) if self.spec.certificates else None,
                started_at=self._started_at,
                ready=self._ready,
                link_process_id=self._link.process_id if self._link else None,
                link_restarts=self._link_restarts,
                nodes=[
                    NodeState(
                        site=node.spec.site,
                        process_id=node.process_id,
                        restarts=len(node.ends),
                        last_end=node.ends[-1] if node.ends else None,
                    )
                    for node in self._nodes
                ],
            )
            try:
                write_json(self.home.federation / _STATE, state.model_dump(mode="json"))
                self._unwritten = False
            except OSError as error:
                if not self._unwritten:
                    say(f"the federation's state cannot be written: {error}")
                self._unwritten = True


_STATE = "state.json"
_LOCK = ".lock"


def read_federation(home: Home) -> FederationState | None:
    """The standing federation of a home; `None` when there is none, also when its owner was killed."""
    file = home.federation / _STATE
    if file.exists() and is_owned(home.federation / _LOCK):
        with suppress(OSError, ValueError):  # gone, or being replaced, between the two looks
            return FederationState.model_validate(read_json(file))
    return None


def sites_behind(address: LinkAddress, home: Home) -> dict[int, str]:
    """All sites that a run over a SuperLink can have, by number: their names. Empty where that cannot be known.

    Args:
        home: whose standing federation it may be.

    Raises:
        RunFailedError: the SuperLink cannot be reached.
    """
    state = read_federation(home)
    is_own = state and state.ready and state.address == str(address)
    started = [node.site for node in state.nodes] if state and is_own else None
    return reached_sites(known_nodes(address), started, secured=not address.insecure)


def require_federation(home: Home) -> FederationState:
    """`read_federation`, or `RunError`."""
    state = read_federation(home)
    if state is None:
        raise RunError(f"there is no federation in {home.root}.", remedy="Start one with: fedforge federation up")
    return state


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    try:
        with owning(folder / _LOCK):
            (folder / _STATE).unlink(missing_ok=True)  # of an owner that was killed: its process ids are others' now
            yield
    except OwnedError as error:
        raise RunError(
            f"there is a federation in {folder} already.",
            remedy="See it with: fedforge federation status; end it with: fedforge federation down",
        ) from error


def online_nodes(infos: Sequence[Any]) -> list[Any]:
    """Those of Flower's `NodeInfo` that are online."""
    return [info for info in infos if info.status == "online"]


def require_place(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        ConfigError: somebody listens there already, or the host is not this machine's.
    """
    try:
        return usable_port(host, port)
    except OSError as error:
        raise ConfigError(
            f"a SuperLink cannot listen at {host}:{port}: {error.strerror}.",
            remedy="Choose another --port (0 takes any free one) or --host.",
        ) from error


def serve_in_background(spec: StandingSpec, home: Home, certificates: Path | None) -> FederationState:
    """Start a process that owns the federation, and return when the SuperLink and all of its nodes are there.

    Raises:
        RunError: this home has a federation already.
        RunFailedError: it ended instead, or does not get on; names its log.
    """
    if read_federation(home):
        raise RunError(
            f"there is a federation in {home.root} already.",
            remedy="See it with: fedforge federation status; end it with: fedforge federation down",
        )
    home.federation.mkdir(parents=True, exist_ok=True)
    log = home.federation / "federation.log"
    security = ["--certs", str(certificates.absolute())] if certificates else []
    begin = log.stat().st_size if log.exists() else 0
    process = Child(
        [
            *(sys.executable, "-m", "fedforge_runtime.cli", "federation", "up", "--foreground"),
            *("--home", str(home.root), "--host", spec.host, "--port", str(spec.port)),
            *("--nodes", str(spec.nodes)),
            *(part for network in spec.trusted_networks for part in ("--trust", network)),
            *(("--monitor", spec.monitor.url) if spec.monitor else ()),
            *security,
        ],
        log=log,
    )
    owner = ProcessIdentity.of(process.pid)  # a child that nobody has waited for
    progress, reached, since = Progress(process.pid, _STALLED_SECONDS), -1, monotonic()
    while monotonic() - since < _STALLED_SECONDS or (reached < 0 and not progress.has_stopped()):
        code = process.poll()
        if code is not None:
            said = log.read_bytes()[begin:].decode(errors="replace").strip()
            raise RunFailedError(f"the federation did not start: {said or f'exit code {code}'}", remedy=f"See {log}.")
        state = read_federation(home)
        if state and state.ready and state.owner == owner:
            with suppress(RunFailedError):
                online = len(online_nodes(node_states(state.link_address())))
                if online >= spec.nodes:
                    return state
                if online > reached:
                    reached, since = online, monotonic()
        time.sleep(_POLL_SECONDS)
    _end(owner)
    raise RunFailedError(
        f"the federation is not ready, {max(reached, 0)} of {spec.nodes} nodes are there, and nothing has changed for "
        f"{_STALLED_SECONDS:g} s.",
        remedy=f"See {log}.",
    )


def end_federation(home: Home) -> FederationState:
    """End a federation's processes and return what was there.

    Raises:
        RunError: there is none.
    """
    state = require_federation(home)
    _end(state.owner)
    return state


def _end(owner: ProcessIdentity) -> None:
    """Have the process that owns a federation ended when this returns, and everything else with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not owner.send(number) or _ends(owner):
            return
    raise RunError(
        f"process {owner.process_id} has not ended within {_END_SECONDS:.0f} s of being killed.",
        remedy="It waits for a device, as a process does whose disk does not answer.",
    )


def _ends(owner: ProcessIdentity) -> bool:
    """Whether a process ends in time; one that its parent has not waited for yet has ended too."""
    deadline = monotonic() + _END_SECONDS
    while monotonic() < deadline:
        try:
            if psutil.Process(owner.process_id).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(_POLL_SECONDS)
    return False
