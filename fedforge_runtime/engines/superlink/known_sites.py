"""The sites that a SuperLink knows, and those that it did not let in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.app.driver import node_states
from fedforge_runtime.engines.superlink.key_names import TAKEN_BACK, own_name, site_of
from fedforge_runtime.engines.superlink.link.visitors import Visitor, key_fingerprint
from fedforge_runtime.engines.superlink.sites_file import default_name


def known_nodes(address: LinkAddress) -> list[Any]:
    """Flower's `NodeInfo` of every node whose key is not taken back.

    Raises:
        RunFailedError: the SuperLink cannot be reached.
    """
    return [info for info in node_states(address) if info.status != TAKEN_BACK]


def reached_sites(infos: Sequence[Any], started: Sequence[int] | None, *, secured: bool) -> dict[int, str]:
    """All sites that a run over a SuperLink can have, by number: their names. Empty where that cannot be known.

    A secured SuperLink has those whose keys are registered. At another one no key says whose it is: it has those that
    `federation up` has started, unless more nodes are connected.

    Args:
        infos: as of `known_nodes`.
        started: the numbers of the sites whose nodes `federation up` has started at this SuperLink; `None` where it
            was started in another way.
        secured: it takes registered keys only.
    """
    if secured:
        numbers = [site_of(info.name) for info in infos]
        if None in numbers:  # this key may be that of any site
            return {}
        return {number: own_name(info.name) for info, number in zip(infos, numbers, strict=True) if number is not None}
    online = sum(info.status == "online" for info in infos)
    return {} if started is None or online > len(started) else {site: default_name(site) for site in started}


def known_sites(infos: Sequence[Any], visitors: Mapping[str, Visitor]) -> list[dict[str, Any]]:
    """The nodes that a SuperLink knows, and the keys that it does not know and refused, those first that have a name.

    Args:
        infos: Flower's `NodeInfo` of each.
        visitors: by the fingerprint of their key.
    """
    named = sorted(infos, key=lambda info: (info.name == "", info.name))
    known = {key_fingerprint(bytes(info.public_key)): info for info in named}
    strangers = [key for key, visitor in visitors.items() if key not in known and visitor.refusal]
    rows = []
    for key in [*known, *strangers]:
        visitor, info = visitors.get(key), known.get(key)
        rows.append(
            {
                "name": (info.name or f"node {info.node_id}") if info else f"unknown key {key[:12]}…",
                "online": info is not None and info.status == "online",
                "last_seen": visitor.last_seen.isoformat() if visitor else None,
                "address": visitor.address if visitor else None,
                "version": visitor.version if visitor else None,
                "clock_offset_seconds": visitor.clock_offset_seconds if visitor else None,
                "refused_at": visitor.refused_at.isoformat() if visitor and visitor.refused_at else None,
                "refusal": (visitor.refusal or None) if visitor else None,
            }
        )
    return rows
