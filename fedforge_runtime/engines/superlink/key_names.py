"""The name that a SuperLink keeps for a node's key: the site's number, and its own name where it has one.

`site-2`, `site-2 berlin`. Keys that somebody registered by hand may have any other name, or none: they are bound to
no site.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from fedforge_runtime.engines.superlink.sites_file import SiteKey, default_name
from fedforge_runtime.federation.roster import Registration

TAKEN_BACK = "unregistered"
"""Flower's status of a key that is let in no more."""
_KEY_NAME = re.compile(r"site-(?P<site>0|[1-9][0-9]*)(?: (?P<name>\S+))?")


def key_name(site: SiteKey) -> str:
    """The name for the key of a site."""
    number = default_name(site.site)
    return number if site.name == number else f"{number} {site.name}"


def site_of(name: str) -> int | None:
    """The number of the site that a key of this name is bound to; `None` where it is bound to none."""
    match = _KEY_NAME.fullmatch(name)
    return int(match["site"]) if match else None


def own_name(name: str) -> str:
    """The site's own name, of the name for its key; any other name as it is."""
    match = _KEY_NAME.fullmatch(name)
    return match["name"] if match and match["name"] else name


def registrations(infos: Iterable[Any], *, secured: bool) -> dict[int, Registration]:
    """What a SuperLink says of its nodes' keys, by node id.

    Args:
        infos: Flower's `NodeInfo` of each.
        secured: it takes registered keys only. Where it does not, nodes come with keys of their own, and what it
            remembers of other times, when it did, binds nobody.
    """
    found = {}
    for info in _valid(infos):
        fingerprint = hashlib.sha256(info.public_key).hexdigest()
        found[int(info.node_id)] = Registration(fingerprint, site_of(info.name) if secured else None)
    return found


def site_numbers(infos: Iterable[Any]) -> dict[str, int]:
    """The numbers of the sites that keys are bound to, by the sites' names; `infos` as for `registrations`."""
    matches = filter(None, (_KEY_NAME.fullmatch(info.name) for info in _valid(infos)))
    return {match["name"] or default_name(int(match["site"])): int(match["site"]) for match in matches}


def _valid(infos: Iterable[Any]) -> Iterable[Any]:
    return [info for info in infos if info.status != TAKEN_BACK]
