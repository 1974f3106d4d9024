"""One site's node in the foreground, as a service or a container runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedforge_runtime.engines import TEMPLATE_MODULES
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import CLIENT_APP
from fedforge_runtime.engines.superlink.certificates import node_identity
from fedforge_runtime.engines.superlink.log import LogReader
from fedforge_runtime.engines.superlink.node.node import NodeSpec
from fedforge_runtime.engines.superlink.node.node_supervisor import NodeSupervisor
from fedforge_runtime.errors import ConfigError, NodeRefusedError
from fedforge_runtime.processes import TEMPLATE
from fedforge_runtime.processes.stop_signal import StopSignal
from fedforge_runtime.sites.node_data import HOME, SHARDS
from fedforge_runtime.storage.home import Home

_WATCH_SECONDS = 0.2


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
