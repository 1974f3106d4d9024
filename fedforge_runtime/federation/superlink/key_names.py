"""The name that a SuperLink keeps for a node's key: the site's number, and its own name where it has one.

`site-2`, `site-2 berlin`. Keys that somebody registered by hand may have any other name, or none: they are bound to
no site.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from fedforge_runtime.federation.roster import Registration
from fedforge_runtime.federation.superlink.sites_file import SiteKey, default_name

_KEY_NAME = re.compile(r"site-(?P<site>0|[1-9][0-9]*)(?: (?P<name>\S+))?")


def key_name(site: SiteKey) -> str:
    """The name for the key of a site."""
    number = default_name(site.site)
    return number if site.name == number else f"{number} {site.name}"


def names_a_site(name: str) -> bool:
    """Whether a name is one of ours."""
    return _KEY_NAME.fullmatch(name) is not None


def registrations(infos: Iterable[Any]) -> dict[int, Registration]:
    """What a SuperLink says of its nodes' keys, by node id.

    Args:
        infos: Flower's `NodeInfo` of each.
    """
    found = {}
    for info in infos:
        match = _KEY_NAME.fullmatch(info.name)
        fingerprint = hashlib.sha256(info.public_key).hexdigest()
        found[int(info.node_id)] = Registration(fingerprint, int(match["site"]) if match else None)
    return found


def site_numbers(infos: Iterable[Any]) -> dict[str, int]:
    """The numbers of the sites that keys are bound to, by the sites' names; arguments as `registrations`."""
    matches = filter(None, (_KEY_NAME.fullmatch(info.name) for info in infos))
    return {match["name"] or default_name(int(match["site"])): int(match["site"]) for match in matches}
