"""Tells a monitor which sites a federation has and how they are, also between runs."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import httpx

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.certificates import CertificateFolder
from fedforge_runtime.engines.superlink.known_sites import known_nodes, known_sites
from fedforge_runtime.engines.superlink.link.visitors import read_visitors
from fedforge_runtime.engines.superlink.site_keys import own_name, site_of
from fedforge_runtime.errors import AskError, FedForgeError
from fedforge_runtime.processes.background import Background
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.answers import Told
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach

_TELL_SECONDS = 10.0
_PURPOSE = "sites"


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
