"""A federation for people: what runs, since when, and how often it was started again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedforge_runtime.clock import utc_now
from fedforge_runtime.commands.tables import print_table
from fedforge_runtime.engines.superlink.known_sites import known_nodes, known_sites
from fedforge_runtime.engines.superlink.link.visitors import read_visitors
from fedforge_runtime.engines.superlink.standing import FederationState, online_nodes
from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.storage.home import Home
from fedforge_runtime.wording import rough_duration, size

_SHOWN_SECONDS = 0.05
"""The smallest difference of clocks that is one."""


def describe_federation(state: FederationState, home: Home) -> dict[str, Any]:
    """State, what the SuperLink says of its nodes, and memory by process; for `--json`."""
    try:
        infos = known_nodes(state.link_address())
        trouble, online = None, len(online_nodes(infos))
    except RunFailedError as error:
        infos, trouble, online = [], str(error), 0
    return {
        "address": state.address,
        "root_certificates": state.root_certificates,
        "flower_home": str(home.flower),
        "started_at": state.started_at,
        "ready": state.ready and trouble is None,
        "process_id": state.process_id,
        "memory_mb": _memory(state.process_id),
        "superlink": {
            "process_id": state.link_process_id,
            "reachable": trouble is None,
            "trouble": trouble,
            "restarts": state.link_restarts,
            "memory_mb": _memory(state.link_process_id),
        },
        "nodes": [
            node.model_dump() | {"alive": _is_alive(node.process_id), "memory_mb": _memory(node.process_id)}
            for node in state.nodes
        ],
        "nodes_online": online,
        "nodes_known": len(infos),
        "sites": known_sites(infos, read_visitors(home.federation)),
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
    if link["trouble"]:
        console.print(escape(link["trouble"]), style="red", highlight=False, soft_wrap=True)
    table = Table("site", "process", "state", "restarts", "last end", "memory")
    for node in value["nodes"]:
        table.add_row(
            str(node["site"]),
            str(node["process_id"]),
            "running" if node["alive"] else "[red]not running[/red]",
            str(node["restarts"]),
            escape(node["last_end"] or ""),
            size(node["memory_mb"] * 1e6),
        )
    if value["nodes"]:
        print_table(console, table)
    if value["sites"]:
        print_table(console, _table_of_sites(value["sites"]))
    certificates = f" --root-certificates {value['root_certificates']}" if value["root_certificates"] else ""
    for line in (
        f"fedforge run blood --superlink {value['address']}{certificates}",
        f"FLWR_HOME={value['flower_home']} flwr run flower_app",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _table_of_sites(sites: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("site", "connection", "last seen", "from", "version", "clock", "last refusal")
    for site in sites:
        table.add_row(
            escape(site["name"]),
            "online" if site["online"] else "[red]offline[/red]",
            _ago(site["last_seen"]),
            site["address"] or "",
            escape(site["version"] or "not known"),
            _offset(site["clock_offset_seconds"]),
            escape(f"{site['refusal']} ({_ago(site['refused_at'])})" if site["refusal"] else ""),
        )
    return table


def _offset(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if abs(seconds) < _SHOWN_SECONDS:
        return "as here"
    return f"{abs(seconds):,.1f} s {'ahead' if seconds > 0 else 'behind'}"


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    return f"{rough_duration(max((utc_now() - datetime.fromisoformat(moment)).total_seconds(), 0))} ago"


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
