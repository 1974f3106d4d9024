"""The sites that a SuperLink knows, and those that it did not let in.

They are made known to it by their keys, asked of it, and told to a monitor.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from fedforge_runtime.config import RunConfig, validate_run_config
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.app.driver import control_client, node_states
from fedforge_runtime.engines.superlink.certificates import CertificateFolder
from fedforge_runtime.engines.superlink.link.visitors import Visitor, key_fingerprint, read_visitors
from fedforge_runtime.engines.superlink.site_keys import (
    TAKEN_BACK,
    default_name,
    key_name,
    own_name,
    site_numbers,
    site_of,
)
from fedforge_runtime.errors import AskError, ConfigError, FedForgeError, RunFailedError
from fedforge_runtime.flower import protocol
from fedforge_runtime.processes.background import Background
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.answers import Told
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach
from fedforge_runtime.wording import suggest

_TELL_SECONDS = 10.0
_PURPOSE = "sites"
_ANEW = (
    "A SuperLink never takes a key twice: give that site a new one, or end the federation, remove "
    "federation/superlink.db of its home and start it again."
)


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


def register_nodes(address: LinkAddress, certificates: CertificateFolder) -> None:
    """Register the key of each site in the folder as that site's, and take back those of sites that are not in it.

    A key that is registered for its site already stays as it is, with the name that the site had then.

    Raises:
        ConfigError: the folder does not say which key is which site's.
        RunFailedError: the SuperLink refuses one, or has it as another site's.
    """
    wanted = {site.public_key_pem: site for site in certificates.sites}
    known = {bytes(info.public_key): info for info in known_nodes(address)}
    for key, site in wanted.items():
        bound = site_of(known[key].name) if key in known else site.site
        if bound != site.site:
            raise RunFailedError(
                f"the key of site {site.site} is registered at {address} as {known[key].name or 'nobody'}'s.",
                remedy=_ANEW,
            )
    with control_client(address) as control:
        for key in known.keys() - wanted.keys():
            if site_of(known[key].name) is not None:
                forgotten = protocol.UnregisterNodeRequest(node_id=known[key].node_id)
                _call(address, f"take back the key of {known[key].name}", control.UnregisterNode, forgotten)
        for key, site in wanted.items():
            if key not in known:
                request = protocol.RegisterNodeRequest(public_key=key, name=key_name(site))
                _call(address, f"register the key of {key_name(site)}", control.RegisterNode, request)


def number_sites(config: RunConfig, address: LinkAddress) -> RunConfig:
    """The same configuration with the numbers of sites that are named.

    Args:
        address: of the SuperLink that knows the names.

    Raises:
        ConfigError: there is no such site.
        RunFailedError: the SuperLink cannot be reached.
    """
    sites = config.federation.sites or ()
    if not any(isinstance(site, str) for site in sites):
        return config
    numbers = site_numbers(node_states(address))
    unknown = [site for site in sites if isinstance(site, str) and site not in numbers]
    if unknown:
        remedy = suggest(unknown[0], numbers) if numbers else "Its keys have no names: give the numbers of the sites."
        raise ConfigError(f"the federation at {address} has no site {unknown[0]!r}.", remedy=remedy)
    document = config.model_dump(mode="json")
    document["federation"]["sites"] = [numbers[site] if isinstance(site, str) else site for site in sites]
    return validate_run_config(document)


def _call(address: LinkAddress, what: str, method: Callable[[Any], object], request: Any) -> None:
    try:
        method(request)
    except httpx.HTTPStatusError as error:
        described = protocol.FlowerError.from_json(error.response.text)
        reason = described.message if described else f"HTTP {error.response.status_code}"
        in_use = described is not None and described.code == protocol.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE
        raise RunFailedError(
            f"the SuperLink at {address} does not {what}: {reason.rstrip('.')}.", remedy=_ANEW if in_use else ""
        ) from error


class SiteTeller(Background):
    """Tells it every ten seconds while the block runs; a monitor that is away is told later.

    Args:
        link: the SuperLink.
        say: is told when the monitor is not reached, and when it is again.
    """

    def __init__(
        self,
        monitor: MonitorAddress,
        link: LinkAddress,
        home: Home,
        certificates: CertificateFolder | None,
        say: Callable[[str], None],
    ) -> None:
        super().__init__("site-teller", patience=0)
        self._client = MonitorClient(monitor, emits=True)
        self._reach = MonitorReach(monitor, say, meanwhile="It is told later.")
        self._link = link
        self._home = home
        self._certificates = certificates

    def _work(self) -> None:
        with self._client:
            while True:
                self._tell()
                if self._ending.wait(_TELL_SECONDS):
                    return

    def _tell(self) -> None:
        try:
            infos = known_nodes(self._link)
        except (FedForgeError, httpx.HTTPError):  # it is being started again: what was told gets old meanwhile
            return
        sites = [self._status(site) for site in known_sites(infos, read_visitors(self._home.federation))]
        try:
            self._client.ask(
                "PUT", "/api/sites", Told, json={"federation": federation_name(self._link), "sites": sites}
            )
        except AskError as error:
            self._reach.failed(_PURPOSE, error)
        else:
            self._reach.answered(_PURPOSE)

    def _status(self, site: dict[str, Any]) -> dict[str, Any]:
        certificates = self._certificates
        refused = site["refused_at"] and site["refusal"]
        return {
            "site": site_of(site["name"]),
            "name": own_name(site["name"]),
            "online": site["online"],
            "last_seen_at": site["last_seen"],
            "version": site["version"],
            "clock_offset_seconds": site["clock_offset_seconds"],
            "certificate_ends_at": certificates.valid_until.isoformat() if certificates else None,
            "last_refusal": {"at": site["refused_at"], "reason": site["refusal"][:2000]} if refused else None,
        }


def federation_name(link: LinkAddress) -> str:
    """By which a monitor tells the federation from others."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{socket.gethostname() or 'host'}-{link.port}")[-64:].lstrip(".-")
