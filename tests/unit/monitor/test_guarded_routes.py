"""Every path of the monitor is behind its guard, those that come with a library too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from monitor.app import create_app
from monitor.settings import Settings

OPEN = {"/api/health", "/api/ready", "/api/session"}
PAGES = {"/", "//metrics", "/index.html", "/nothing", "/docs", "/openapi.json"}
"""Of the dashboard, or nothing: they show no run."""
FORWARDED = [
    {"Forwarded": "for=203.0.113.7"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "monitor.example.org"},
    {"X-Forwarded-Proto": "https"},
    {"x-real-ip": "203.0.113.7"},
    {"Via": "1.1 nginx"},
]


def application(folder: Path, token: str | None) -> FastAPI:
    dashboard = folder / "dashboard"
    dashboard.mkdir()
    (dashboard / "index.html").write_text("<html>dashboard</html>")
    return create_app(Settings(folder, token=token, dashboard=dashboard))


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        yield route
        inner = getattr(route, "original_router", route)
        if not isinstance(route, Mount):
            yield from routes_of(getattr(inner, "routes", None) or [])


def paths_of(app: FastAPI) -> set[str]:
    """One path for each route, those that the description of the API has among them."""
    found = {str(route.path) for route in routes_of(app.routes) if getattr(route, "path", None)}
    found |= set(app.openapi()["paths"])
    found |= {
        "/",
        "/index.html",
        "/nothing",
        "/api",
        "/api/nothing",
        "/docs",
        "/openapi.json",
        "/api/health/",
        "//metrics",
    }
    return {re.sub(r"\{[^}]*\}", "x", path) for path in found}


def status_of(app: FastAPI, path: str, headers: dict[str, str]) -> int:
    async def ask() -> int:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
            return (await client.get(path, headers=headers)).status_code

    return anyio.run(ask)


def sent_to_reader(app: FastAPI, path: str, headers: dict[str, str]) -> list[Any]:
    """What a WebSocket is sent first."""
    sent: list[Any] = []
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"run_id=any",
        "headers": [(name.lower().encode(), text.encode()) for name, text in ({"Host": "127.0.0.1"} | headers).items()],
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(app, scope, receive, send)
    return sent


def test_without_the_token_every_path_but_health_and_the_empty_pages_is_refused(tmp_path: Path) -> None:
    app = application(tmp_path, "a secret")
    paths = paths_of(app)

    assert {"/metrics", "/api/docs", "/api/openapi.json", "/api/runs/x/report", "/api/stream", "/api/events"} <= paths
    assert {path for path in paths if status_of(app, path, {}) != 401} == OPEN | PAGES


@pytest.mark.parametrize("headers", FORWARDED, ids=lambda headers: next(iter(headers)))
def test_what_a_proxy_on_this_machine_passes_on_is_refused_where_there_is_no_token(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    app = application(tmp_path, None)

    assert {path for path in paths_of(app) if status_of(app, path, headers) != 401} == OPEN | PAGES


@pytest.mark.parametrize(("token", "headers"), [("a secret", {}), (None, FORWARDED[0])])
def test_the_stream_is_no_way_around_it(tmp_path: Path, token: str | None, headers: dict[str, str]) -> None:
    app = application(tmp_path, token)
    streams = [route for route in routes_of(app.routes) if isinstance(route, WebSocketRoute)]
    assert streams
    for route in streams:
        (closed,) = sent_to_reader(app, route.path, headers)
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
