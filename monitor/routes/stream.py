"""The WebSocket: what is there after a cursor, then whatever comes, in the shapes of REST."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from sqlmodel import Session, col, func, select

from monitor.control import HEARD
from monitor.frames import HeartbeatFrame, HelloFrame, ResyncFrame
from monitor.orders import UnknownRunError, require_run
from monitor.routes.events import read_after
from monitor.run_frames import BETWEEN_RUN_FRAMES_SECONDS
from monitor.service import Service, Serviced
from monitor.shapes import Shape
from monitor.stream import ALL_RUNS
from monitor.tables import EventRow, RunRow

router = APIRouter()

SLOW_READER = 4008
"""Close code: the reader did not keep up. It may come back with its cursor."""
UNKNOWN_RUN = 4004
GOING_AWAY = 1001
_HEARTBEAT_SECONDS = 10.0
_AT_ONCE = 500
_RUNS_AT_ONCE = 200


@router.websocket("/api/stream")
async def stream(
    socket: WebSocket,
    service: Serviced,
    run_id: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> None:
    """The frames of `monitor.frames`: of one run its events and itself, else each run whenever it has changed."""
    await socket.accept()
    reader = _Reader(socket, service.settings.patience_seconds)
    reading = asyncio.ensure_future(reader.until_gone())
    served = _serve_runs(reader, service) if run_id is None else _serve_run(reader, service, run_id, after)
    writing = asyncio.ensure_future(served)
    try:
        await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
            await reader.close(GOING_AWAY, "the monitor ends")
    except TimeoutError:
        await reader.close(SLOW_READER, "the reader does not keep up")
    except UnknownRunError as error:
        await reader.close(UNKNOWN_RUN, str(error)[:120])
    except (WebSocketDisconnect, RuntimeError):  # it went while something was sent
        pass
    finally:
        for task in (reading, writing):
            task.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)


async def _serve_run(reader: _Reader, service: Service, run_id: str, cursor: int) -> None:
    first, last = await service.read(lambda session: _range(session, run_id))
    await reader.say(_hello(service, run_id, cursor, last))
    if cursor > last or (first > cursor + 1 and last > 0):
        cursor = last if cursor > last else first - 1
        reason = "events before this are no longer kept, or the cursor is of another database"
        await reader.say(ResyncFrame(after=cursor, reason=reason))
    shown, behind, show_at = _Shown(reader, service), True, 0.0
    while not service.newest.ended:
        news = service.newest.news(run_id)
        events = service.newest.after(run_id, cursor)
        if events is None:
            events = await read_after(service, run_id, cursor, _AT_ONCE)
        if events:
            late = len(events) > _AT_ONCE
            part = events[: _AT_ONCE - cursor % _AT_ONCE] if late else events  # all who are late end at the same
            await reader.send(service.newest.frame(part))
            cursor, behind = part[-1].seq, True
            continue
        if behind and monotonic() >= show_at:
            await shown.show([run_id], cursor)
            behind, show_at = False, _next_tick()
            continue
        await service.newest.wait(news, show_at - monotonic() if behind else _HEARTBEAT_SECONDS)
        if not behind and not news.is_set() and not service.newest.ended:
            behind = True  # what moves with the clock alone: that it stalls
            await reader.say(HeartbeatFrame(now=service.now(), last_seq=cursor))


async def _serve_runs(reader: _Reader, service: Service) -> None:
    newest = service.newest
    _, taking = newest.runs_since(0)
    await reader.say(_hello(service, None, 0, None))
    shown = _Shown(reader, service)
    while not newest.ended:
        news = newest.news(ALL_RUNS)
        changed, taking = newest.runs_since(taking)
        if changed:
            await shown.show(changed)
            await newest.pause(BETWEEN_RUN_FRAMES_SECONDS)
            continue
        await newest.wait(news, _HEARTBEAT_SECONDS)
        if not news.is_set() and not newest.ended:
            await shown.show(await service.read(_live_runs))  # what moves with the clock alone: one that stalls
            await reader.say(HeartbeatFrame(now=service.now(), last_seq=None))


class _Shown:
    """Shows a reader runs, each only where it is another than it was shown last."""

    def __init__(self, reader: _Reader, service: Service) -> None:
        self._reader = reader
        self._service = service
        self._last: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def show(self, run_ids: Sequence[str], seq: int = 0) -> None:
        for frame in await self._service.run_frames.of(run_ids, seq):
            if self._last.get(frame.run_id) != frame.facts:
                self._last[frame.run_id] = frame.facts
                self._last.move_to_end(frame.run_id)
                await self._reader.send(frame.text)
        while len(self._last) > _RUNS_AT_ONCE:
            self._last.popitem(last=False)


def _next_tick() -> float:
    """When a run may be shown again: at the same moment to all its readers, so that its frame is made once."""
    return (monotonic() // BETWEEN_RUN_FRAMES_SECONDS + 1) * BETWEEN_RUN_FRAMES_SECONDS


def _hello(service: Service, run_id: str | None, after: int, last_seq: int | None) -> HelloFrame:
    return HelloFrame(
        run_id=run_id,
        database=service.database.identity,
        after=after,
        last_seq=last_seq,
        heartbeat_seconds=_HEARTBEAT_SECONDS,
        now=service.now(),
    )


def _live_runs(session: Session) -> list[str]:
    live = select(RunRow.run_id).where(col(RunRow.state).in_([state.value for state in HEARD]))
    return list(session.exec(live.limit(_RUNS_AT_ONCE)))


def _range(session: Session, run_id: str) -> tuple[int, int]:
    """The first event that is kept, and the number of the last that there was."""
    last = require_run(session, run_id).last_seq
    first = session.exec(select(func.min(col(EventRow.seq))).where(EventRow.run_id == run_id)).one()
    return first or last + 1, last


class _Reader:
    """Whoever is at the other end; it is waited for so long, and has nothing to say."""

    def __init__(self, socket: WebSocket, patience: float) -> None:
        self._socket = socket
        self._patience = patience

    async def say(self, frame: Shape) -> None:
        """Send a frame; errors as of `send`."""
        await self.send(frame.model_dump_json())

    async def send(self, text: str) -> None:
        """Raise `TimeoutError` when it does not take it."""
        async with asyncio.timeout(self._patience):
            await self._socket.send_text(text)

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._socket.close(code, reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass  # it is gone

    async def until_gone(self) -> None:
        """Return when the connection ends."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass
