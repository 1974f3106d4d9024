"""A TCP proxy between any two ports that may cut, stall, refuse, or answer in place of the server.

    with BadLink(server_port) as link:      # passes everything on
        client_of(link.port)                # or `link.address`, `link.url`
        link.reset()                        # cuts what is open, and whatever comes, with RST
        link.cut_answers(after=20)          # requests arrive; each answer is cut with RST after so many bytes
        link.cut_once(after=700, way="up")  # cuts everything, once, when so many more bytes have gone that way
        link.slow(20_000)                   # moves so many bytes a second each way, of all connections together
        link.stall()                        # takes connections and requests and moves no byte, until the next change
        link.refuse()                       # nobody listens
        link.answer(429, {"Retry-After": "1"})   # HTTP only: a page of HTML, or what `body` says, for every request
        link.answer_bytes(b"...")           # the same with bytes that may be no HTTP at all
        link.pass_on()                      # all is well again; bytes that were stalled go on
        link.lead_to(other_port)            # cuts what is open; what comes is passed on to another server

Every change has come to pass when its method returns. `struck` counts the connections that were disturbed since the
last change, so that a test can wait until its victim has met the fault.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.patience import PATIENCE_SECONDS

HTML = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Hospital proxy</h1></body></html>"
_AT_ONCE = 65536
_AT_ONCE_WHERE_SLOW = 2048
_RST = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: a close is a reset."""

Kind = Literal["pass", "reset", "cut", "stall", "slow", "refuse", "answer"]
Way = Literal["up", "down"]
"""To the server, or from it."""


@dataclass(frozen=True)
class _Mode:
    kind: Kind
    after: int = 0
    bytes_a_second: int = 0
    answer: bytes = b""


class BadLink:
    """Listens on a port of 127.0.0.1 while the block runs; any thread may change what it does.

    Args:
        target: the port of the server.
        host: of the server.
    """

    def __init__(self, target: int, *, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.connections = 0
        """That were ever taken."""
        self.struck = 0
        """Connections that were disturbed since the last change."""
        self._target = (host, target)
        self.cuts = 0
        """That `cut_once` has come to."""
        self._mode = _Mode("pass")
        self._free_at: dict[Way, float] = {"up": 0.0, "down": 0.0}
        """When the line has moved what it took so far."""
        self._left: dict[Way, int] = {}
        """Bytes until everything is cut once, by the way that they go."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bad-link", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._behind: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._moving = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def pass_on(self) -> None:
        """Move every byte, also those that were stalled."""
        self._change(_Mode("pass"))

    def lead_to(self, target: int) -> None:
        """Cut what is open, and pass what comes on to another port of the server's machine."""
        self._change(_Mode("reset"))
        self._target = (self._target[0], target)
        self._change(_Mode("pass"))

    def reset(self) -> None:
        """Cut every connection, open and new."""
        self._change(_Mode("reset"))

    def cut_answers(self, after: int = 0) -> None:
        """Let requests arrive; cut each answer after so many bytes, also those of connections that are open."""
        self._change(_Mode("cut", after=after))

    def cut_once(self, after: int, way: Way) -> None:
        """Cut every connection once `after` more bytes have gone that way; the last of them arrives."""

        async def begin() -> None:
            self._left = {way: after}

        self._run(begin())

    def slow(self, bytes_a_second: int) -> None:
        """Move no more than that each way, of all connections together."""
        self._change(_Mode("slow", bytes_a_second=bytes_a_second))

    def stall(self) -> None:
        """Move nothing: connections are taken and stay open."""
        self._change(_Mode("stall"))

    def refuse(self) -> None:
        """Cut what is open and listen no more."""
        self._change(_Mode("refuse"))

    def answer(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = HTML,
        *,
        content_type: str = "text/html",
    ) -> None:
        """Cut what is open and answer every HTTP request in place of the server; `headers` replace its own."""
        every = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
        every |= headers or {}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {text}" for name, text in every.items())]
        self.answer_bytes("\r\n".join([*lines, "", ""]).encode() + body)

    def answer_bytes(self, content: bytes) -> None:
        """Cut what is open and answer every HTTP request with these bytes, whatever they are."""
        self._change(_Mode("answer", answer=content))

    def __enter__(self) -> Self:
        self._thread.start()
        self._change(self._mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._change(_Mode("refuse"))
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def _change(self, mode: _Mode) -> None:
        self._run(self._apply(mode))

    async def _apply(self, mode: _Mode) -> None:
        self._mode, self.struck = mode, 0
        if mode.kind == "stall":
            self._moving.clear()
        elif mode.kind in ("reset", "refuse", "answer"):
            for writer in [*self._open, *self._behind]:
                self._cut(writer)
        if mode.kind == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif mode.kind != "refuse" and self._server is None:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        if mode.kind != "stall":
            self._moving.set()

    async def _end(self) -> None:
        if self._tasks:  # they end by themselves: everything that they have open is cut
            await asyncio.wait(self._tasks)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self._mode.kind == "stall":
                self.struck += 1
                await self._moving.wait()
            if self._mode.kind in ("reset", "refuse"):
                self._cut(writer)
            elif self._mode.kind == "answer":
                await self._answer(reader, writer)
            else:
                await self._join(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            self._cut(writer)
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        if found:
            await reader.readexactly(int(rest.split(b"\r\n")[0]))
        self.struck += 1
        writer.write(self._mode.answer)
        await writer.drain()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._behind.add(far_writer)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, "up"))
                pumps.create_task(self._pump(far_reader, writer, "down", answers_to=far_writer))
        except* OSError:
            self._cut(writer)
        finally:
            self._behind.discard(far_writer)
            far_writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Way,
        answers_to: asyncio.StreamWriter | None = None,
    ) -> None:
        passed, cutting = 0, self._mode
        while data := await reader.read(_AT_ONCE if self._mode.kind != "slow" else _AT_ONCE_WHERE_SLOW):
            if not self._moving.is_set():
                self.struck += 1
                await self._moving.wait()
            mode = self._mode
            if mode is not cutting:
                passed, cutting = 0, mode
            if mode.kind == "cut" and answers_to is not None:
                data = data[: mode.after - passed]
                passed += len(data)
            if mode.kind == "slow":
                await self._take_time(way, len(data) / mode.bytes_a_second)
            left = self._left.get(way)
            writer.write(data if left is None else data[:left])
            await writer.drain()
            if left is not None:
                self._count(way, len(data))
            if mode.kind == "cut" and answers_to is not None and passed >= mode.after:
                self._cut(writer)
                self._cut(answers_to)
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _take_time(self, way: Way, seconds: float) -> None:
        now = self._loop.time()
        self._free_at[way] = max(self._free_at[way], now) + seconds
        await asyncio.sleep(self._free_at[way] - now)

    def _count(self, way: Way, size: int) -> None:
        if way not in self._left:  # another connection has come to the cut meanwhile
            return
        self._left[way] -= size
        if self._left[way] <= 0:
            self._left = {}
            self.cuts += 1
            for writer in [*self._open, *self._behind]:
                self._cut(writer)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        if writer.transport.is_closing():
            return
        self.struck += writer in self._open
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        writer.transport.abort()
