"""`fedforge-superlink`: Flower's SuperLink, whose runs and keys are not everybody's who reaches its port.

A SuperLink serves nodes, runs and its own operation on one port, and only nodes prove who they are: whoever reaches
it could register a key of his own, start an app, or take another's run. Here, machines outside the trusted networks
get what nodes need, and nothing else.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fedforge_runtime.errors import ConfigError

TRUSTED_NETWORKS = "FEDFORGE_TRUSTED_NETWORKS"
"""Environment variable: networks, separated by commas, whose machines may start and drive runs."""
VISITORS_FOLDER = "FEDFORGE_VISITORS_FOLDER"
"""Environment variable: where the file of `visitors` is kept; by default there is none."""
REFUSAL = "this machine may have a node here, and nothing else; see FedForge's docs/deployment.md"
LOOPBACK = ("127.0.0.0/8", "::1/128")
_FOR_NODES = ("/v1/fleet/", "/health")
_FORWARDED = (b"forwarded", b"x-real-ip", b"via")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Networks such as `10.1.0.0/16` or `10.1.2.3`; the loopback interface is always among them.

    Raises:
        ConfigError: one is no network.
    """
    networks: list[Network] = []
    for text in (*LOOPBACK, *texts):
        try:
            networks.append(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise ConfigError(
                f"{text!r} is not a network", cause=error, remedy="Write 10.1.0.0/16 or 10.1.2.3."
            ) from error
    return networks


def may_pass(path: str, client: str | None, networks: Sequence[Network]) -> bool:
    """Whether a request from the address `client` for `path` is let through."""
    if path.startswith(_FOR_NODES[0]) or path == _FOR_NODES[1]:
        return True
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


class Guard:
    """ASGI middleware: refuses with 403 what `may_pass` does not let through."""

    def __init__(self, app: ASGIApp, networks: Sequence[Network]) -> None:
        self._app = app
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = None if _is_forwarded(scope) else (scope.get("client") or [None])[0]
        passes = scope["type"] != "http" or may_pass(scope["path"], client, self._networks)
        await (self._app if passes else JSONResponse({"detail": REFUSAL}, 403))(scope, receive, send)


def _is_forwarded(scope: Scope) -> bool:
    """Whether a proxy asks for somebody else, of whom nothing is known, wherever the proxy is."""
    names = [name.lower() for name, _ in scope.get("headers", ())]
    return any(name in _FORWARDED or name.startswith(b"x-forwarded-") for name in names)


def main() -> None:
    """Run `flower-superlink` with its own options, guarded."""
    from fedforge_runtime.engines.superlink.link.deliveries import Deliveries
    from fedforge_runtime.engines.superlink.link.visitors import VisitorBook
    from fedforge_runtime.flower.link import run_superlink

    networks = parse_networks([text for text in os.environ.get(TRUSTED_NETWORKS, "").split(",") if text.strip()])
    folder = os.environ.get(VISITORS_FOLDER)
    visitors = [Middleware(VisitorBook, Path(folder))] if folder else []
    run_superlink([Middleware(Guard, networks), *visitors, Middleware(Deliveries)])
