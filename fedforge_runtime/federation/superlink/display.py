"""A federation for people: what runs, since when, and how often it was started again."""

from __future__ import annotations

from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.federation.superlink.driver import node_states
from fedforge_runtime.federation.superlink.standing import FederationState, online_nodes
from fedforge_runtime.home import Home


def describe_federation(state: FederationState, home: Home) -> dict[str, Any]:
    """State, what the SuperLink says of its nodes, and memory by process; for `--json`."""
    try:
        infos = node_states(state.link_address())
        reachable, online, known = True, len(online_nodes(infos)), len(infos)
    except RunFailedError:
        reachable, online, known = False, 0, 0
    nodes = [
        node.model_dump() | {"alive": _is_alive(node.process_id), "memory_mb": _memory(node.process_id)}
        for node in state.nodes
    ]
    return {
        "address": state.address,
        "root_certificates": state.root_certificates,
        "flower_home": str(home.flower),
        "started_at": state.started_at,
        "ready": state.ready and reachable,
        "process_id": state.process_id,
        "memory_mb": _memory(state.process_id),
        "superlink": {
            "process_id": state.link_process_id,
            "reachable": reachable,
            "restarts": state.link_restarts,
            "memory_mb": _memory(state.link_process_id),
        },
        "nodes": nodes,
        "nodes_online": online,
        "nodes_known": known,
    }


def print_federation(value: dict[str, Any]) -> None:
    """The same as a table, and how it is used."""
    console = Console()
    link = value["superlink"]
    console.print(
        f"SuperLink at [bold]{value['address']}[/bold] ({'TLS' if value['root_certificates'] else 'plain text'}), "
        f"{'reachable' if link['reachable'] else '[red]not reachable[/red]'}, process {link['process_id']}, "
        f"{link['restarts']} restarts; {value['nodes_online']} nodes online.",
        highlight=False,
    )
    table = Table("site", "process", "state", "restarts", "last end", "memory")
    for node in value["nodes"]:
        table.add_row(
            str(node["site"]),
            str(node["process_id"]),
            "running" if node["alive"] else "[red]not running[/red]",
            str(node["restarts"]),
            node["last_end"] or "",
            f"{node['memory_mb']:,.0f} MB",
        )
    if value["nodes"]:
        console.print(table)
    certificates = f" --root-certificates {value['root_certificates']}" if value["root_certificates"] else ""
    for line in (
        f"fedforge run blood --superlink {value['address']}{certificates}",
        f"FLWR_HOME={value['flower_home']} flwr run flower_app",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _is_alive(process_id: int | None) -> bool:
    try:
        return process_id is not None and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _memory(process_id: int | None) -> float:
    """Proportional set size, in MB: what processes share is counted once; 0 for one that is gone."""
    try:
        return float(psutil.Process(process_id).memory_full_info().pss) / 1e6 if process_id else 0.0
    except (psutil.Error, AttributeError):
        return 0.0
