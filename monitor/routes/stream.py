"""The WebSocket: what is there after a cursor, then whatever comes, in the shapes of REST."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from sqlmodel import Session, col, func, select

from monitor.orders import UnknownRunError, require_run
from monitor.routes.events import read_after
from monitor.service import Service, Serviced
from monitor.stored import StoredEvent
from monitor.tables import EventRow

router = APIRouter()

SLOW_READER = 4008
"""Close code: the reader did not keep up. It may come back with its cursor."""
UNKNOWN_RUN = 4004
GOING_AWAY = 1001
_HEARTBEAT_SECONDS = 10.0
_AT_ONCE = 500


@router.websocket("/api/stream")
async def stream(
    socket: WebSocket,
    service: Serviced,
    run_id: Annotated[str, Query(max_length=64)],
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> None:
    """Frames: `hello`, `events`, `heartbeat`, and `resync` where the cursor is not of this database any more."""
    await socket.accept()
    reader = _Reader(socket, service.settings.patience_seconds)
    reading = asyncio.ensure_future(reader.until_gone())
    writing = asyncio.ensure_future(_serve(reader, service, run_id, after))
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


async def _serve(reader: _Reader, service: Service, run_id: str, cursor: int) -> None:
    first, last = await service.read(lambda session: _range(session, run_id))
    hello = {
        "type": "hello",
        "run_id": run_id,
        "database": service.database.identity,
        "after": cursor,
        "last_seq": last,
        "heartbeat_seconds": _HEARTBEAT_SECONDS,
    }
    await reader.send(json.dumps(hello))
    if cursor > last or (first > cursor + 1 and last > 0):
        cursor = last if cursor > last else first - 1
        reason = "events before this are no longer kept, or the cursor is of another database"
        await reader.send(json.dumps({"type": "resync", "after": cursor, "reason": reason}))
    while not service.newest.ended:
        news = service.newest.news(run_id)
        events = service.newest.after(run_id, cursor)
        if events is None:
            events = await read_after(service, run_id, cursor, _AT_ONCE)
        if events:
            await reader.send(_frame(events[:_AT_ONCE]))
            cursor = events[:_AT_ONCE][-1].seq
            continue
        await service.newest.wait(news, _HEARTBEAT_SECONDS)
        if not news.is_set() and not service.newest.ended:
            await reader.send(json.dumps({"type": "heartbeat", "ts": service.now().isoformat(), "last_seq": cursor}))


def _range(session: Session, run_id: str) -> tuple[int, int]:
    """The first event that is kept, and the number of the last that there was."""
    last = require_run(session, run_id).last_seq
    first = session.exec(select(func.min(col(EventRow.seq))).where(EventRow.run_id == run_id)).one()
    return first or last + 1, last


def _frame(events: list[StoredEvent]) -> str:
    return f'{{"type":"events","events":[{",".join(event.to_json() for event in events)}]}}'


class _Reader:
    """Whoever is at the other end; it is waited for so long, and has nothing to say."""

    def __init__(self, socket: WebSocket, patience: float) -> None:
        self._socket = socket
        self._patience = patience

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
