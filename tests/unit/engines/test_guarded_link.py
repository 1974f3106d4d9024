"""Who may do what at a SuperLink's port."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.engines.superlink.link.guarded_link import Guard, may_pass, parse_networks
from fedforge_runtime.errors import ConfigError

LOCAL = parse_networks([])


@pytest.mark.parametrize("path", ["/v1/fleet/pull-messages", "/v1/fleet/activate-node", "/health"])
def test_a_stranger_gets_what_nodes_need(path: str) -> None:
    assert may_pass(path, "203.0.113.7", LOCAL)


@pytest.mark.parametrize(
    "path",
    ["/v1/control/start-run", "/v1/control/register-node", "/v1/runtime/acquire-task", "/docs", "/openapi.json", "/",
     "/v1/fleet", "/v1/fleetcontrol", "/healthy", "/health/x"],
)  # fmt: skip
def test_a_stranger_gets_nothing_else(path: str) -> None:
    assert not may_pass(path, "203.0.113.7", LOCAL)
    assert not may_pass(path, None, LOCAL)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_start_runs(client: str) -> None:
    assert may_pass("/v1/control/start-run", client, LOCAL)


@given(st.ip_addresses(v=4))
def test_a_trusted_network_is_exactly_that_network(address: IPv4Address) -> None:
    trusted = address in ip_network("10.1.0.0/16") or address.is_loopback

    networks = parse_networks(["10.1.0.0/16"])

    assert may_pass("/v1/control/start-run", str(address), networks) == trusted
    assert may_pass("/v1/control/start-run", f"::ffff:{address}", networks) == trusted


@pytest.mark.parametrize("text", ["10.1.0.0/33", "example.org", "10.1.0.1/16", ""])
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a network"):
        parse_networks([text])


def asked(path: str, headers: list[tuple[bytes, bytes]], client: str) -> tuple[bool, list[Any]]:
    """Whether the app saw the request, and what was answered without it."""
    seen, sent = False, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        seen = True

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "client": (client, 5000), "headers": headers}
    asyncio.run(Guard(app, LOCAL)(scope, None, send))  # type: ignore[arg-type]
    return seen, sent


def test_a_refusal_is_a_403_that_names_the_page_and_the_app_never_sees_the_request() -> None:
    seen, sent = asked("/v1/control/start-run", [], "203.0.113.7")

    assert not seen
    assert sent[0]["status"] == 403
    assert b"docs/deployment.md" in sent[1]["body"]


@pytest.mark.parametrize("name", [b"forwarded", b"X-Forwarded-For", b"x-forwarded-host", b"x-real-ip", b"Via"])
def test_a_proxy_on_this_machine_is_not_this_machine(name: bytes) -> None:
    forwarded = [(b"host", b"link.example.org"), (name, b"127.0.0.1")]

    assert asked("/v1/control/start-run", [], "127.0.0.1")[0]
    assert not asked("/v1/control/start-run", forwarded, "127.0.0.1")[0]
    assert asked("/v1/fleet/pull-messages", forwarded, "127.0.0.1")[0]
