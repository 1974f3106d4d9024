"""A standing federation in the background: start it, wait until it is ready, end it."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.address import usable_port
from fedforge_runtime.engines.superlink.app.driver import node_states
from fedforge_runtime.engines.superlink.standing import (
    FederationState,
    StandingSpec,
    online_nodes,
    read_federation,
    require_federation,
)
from fedforge_runtime.errors import ConfigError, RunError, RunFailedError
from fedforge_runtime.processes import ProcessIdentity, Progress
from fedforge_runtime.processes.child import Child
from fedforge_runtime.storage.home import Home

_STALLED_SECONDS = 90.0
"""A start of which nothing more comes to pass for so long is given up."""
_END_SECONDS = 20.0
_POLL_SECONDS = 0.1


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
