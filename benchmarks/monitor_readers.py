"""Those who read a run's events from a monitor; see `LoadProcess`."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_in_loop
from websockets.sync.client import connect

from benchmarks.figures import Results
from benchmarks.monitor_events import Seen
from benchmarks.monitor_load import run_program, say_ready, wait_to_begin
from fedforge_runtime.clock import monotonic, utc_now

_PAGE = 1000
_TIMEOUT_SECONDS = 60.0
_SMALL_BUFFER = 4096
_BETWEEN_LOOKS_SECONDS = 5.0
_BETWEEN_TRIES_SECONDS = 0.02


def follow(*, url: str, run_id: str, events: int, sockets: int) -> Results:
    """Read a run over many sockets as its events come; only its first is there already."""
    return asyncio.run(_follow(_stream(url, run_id), events, sockets))


async def _follow(address: str, events: int, sockets: int) -> Results:
    milliseconds = array("d")
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connect_in_loop(address, proxy=None)) for _ in range(sockets)]
        for each in opened:
            await each.recv()  # the greeting
        say_ready()
        names = await asyncio.gather(*(_follow_one(each, events, milliseconds) for each in opened))
    if len(set(names)) != 1:
        raise AssertionError("the sockets have not all received the same events")
    return {
        "seen": names[0],
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "largest_ms": max(milliseconds),
    }


async def _follow_one(connection: ClientConnection, events: int, milliseconds: array[float]) -> str:
    seen = Seen()
    while seen.length < events:
        text = await connection.recv()
        now = utc_now()
        for item in _events_of(text):
            seen.add(item["event"]["event_id"])
            if item["seq"] != seen.length:
                raise AssertionError(f"event {item['seq']} came where {seen.length} was due")
            if seen.length > 1:
                milliseconds.append((now - datetime.fromisoformat(item["received_at"])).total_seconds() * 1000)
    return seen.name()


def visit(*, url: str, run_id: str, pages: int) -> Results:
    """Be so many pages that show a live run, until this process is ended: what they ask for, and a socket each."""
    return asyncio.run(_visit(url, run_id, pages))


async def _visit(url: str, run_id: str, pages: int) -> Results:
    run = f"/api/runs/{run_id}"
    opened = (f"{run}/series", "/api/words", f"{run}/commands", "/api/session", f"{run}/events?order=newest&limit=200")
    looked_at = ("/api/attention", "/api/runs")
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:

        async def page() -> None:
            while (await client.get(run)).status_code == httpx.codes.NOT_FOUND:
                await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
            cursor = (await client.get(f"{run}/snapshot")).raise_for_status().json()["cursor"]
            for path in opened:
                (await client.get(path)).raise_for_status()
            async with connect_in_loop(_stream(url, run_id, cursor), proxy=None) as connection:
                await asyncio.gather(_take_all(connection), look_around())

        async def look_around() -> None:
            while True:
                for path in looked_at:
                    (await client.get(path)).raise_for_status()
                await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)

        for path in (f"{run}/snapshot", *opened, *looked_at):
            await client.get(path)  # what the monitor makes when it is asked for the first time, it has made
        say_ready()
        await asyncio.gather(*(page() for _ in range(pages)))
    return {}


async def _take_all(connection: ClientConnection) -> None:
    """Without a look at it: pages are on machines of their own, and these share the monitor's cores."""
    async for _ in connection:
        pass


def replay(*, url: str, run_id: str, events: int) -> Results:
    """Read a run that is complete in each way that there is, every event parsed as JSON."""
    wait_to_begin()
    figures: Results = {}
    for name, read in _WAYS.items():
        seen = Seen()
        started = monotonic()
        for event in read(url, run_id, events):
            seen.add(event["event_id"])
        figures |= {f"{name}_seconds": monotonic() - started, f"{name}_seen": seen.name()}
    return figures


def look(*, url: str, run_id: str, events: int) -> Results:
    """What a screen asks for that opens a run that is complete; every answer parsed as JSON."""
    wait_to_begin()
    run = f"/api/runs/{run_id}"
    answers = {
        "snapshot": (f"{run}/snapshot", {}),
        "timeline": (f"{run}/timeline", {}),
        "series": (f"{run}/series", {}),
        "search": (f"{run}/events", {"order": "newest", "text": "is nowhere in it"}),
        "newest": (f"{run}/events", {"order": "newest", "limit": 200}),
        "runs": ("/api/runs", {}),
    }
    figures: Results = {}
    with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        for name, (path, params) in answers.items():
            started = monotonic()
            answer = client.get(path, params=params).raise_for_status()
            answer.json()
            figures |= {f"{name}_seconds": monotonic() - started, f"{name}_bytes": len(answer.content)}
    return figures


def _by_stream(url: str, run_id: str, events: int) -> Iterator[Any]:
    with connect(_stream(url, run_id), proxy=None) as connection:
        read = 0
        while read < events:
            items = _events_of(connection.recv(timeout=_TIMEOUT_SECONDS))
            yield from (item["event"] for item in items)
            read += len(items)


def _by_pages(url: str, run_id: str, events: int) -> Iterator[Any]:
    with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        after = 0
        while after is not None:
            answer = client.get(f"/api/runs/{run_id}/events", params={"after": after, "limit": _PAGE})
            page = answer.raise_for_status().json()
            yield from (item["event"] for item in page["events"])
            after = page["next_after"]


def _by_export(url: str, run_id: str, events: int) -> Iterator[Any]:
    answer = httpx.get(f"{url}/api/runs/{run_id}/export", timeout=_TIMEOUT_SECONDS, trust_env=False)
    return map(json.loads, answer.raise_for_status().content.splitlines())


_WAYS: Mapping[str, Callable[[str, str, int], Iterable[Any]]] = {
    "stream": _by_stream,
    "pages": _by_pages,
    "export": _by_export,
}


def _stream(url: str, run_id: str, after: int = 0) -> str:
    return f"{url.replace('http', 'ws', 1)}/api/stream?run_id={run_id}&after={after}"


def _events_of(text: str | bytes) -> list[Any]:
    frame = json.loads(text)
    match frame["type"]:
        case "events":
            events: list[Any] = frame["events"]
            return events
        case "hello" | "heartbeat" | "run":
            return []
        case other:
            raise AssertionError(f"a frame of type {other!r} came: {text[:200]!r}")


class StalledReader:
    """Follows a run and takes nothing of what it is sent, not even a ping."""

    def __init__(self, monitor: psutil.Process, url: str, run_id: str) -> None:
        port = int(url.rpartition(":")[2])
        self._monitor = monitor
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /api/stream?run_id={run_id}&after=0 HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        self._socket.sendall("".join(f"{line}\r\n" for line in (*request, "")).encode())
        self._socket.settimeout(_TIMEOUT_SECONDS)
        answer = self._socket.recv(_SMALL_BUFFER)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise AssertionError(f"no stream but {answer[:200]!r}")
        self.connected_at = monotonic()

    @property
    def is_held(self) -> bool:
        """Whether the monitor still has the connection open."""
        port = self._socket.getsockname()[1]
        return any(each.raddr and each.raddr.port == port for each in self._monitor.net_connections("tcp"))

    def close(self) -> None:
        self._socket.close()


if __name__ == "__main__":
    run_program({"follow": follow, "look": look, "replay": replay, "visit": visit})
