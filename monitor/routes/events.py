"""Events: taken in, read from a cursor, exported and imported."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import Session

from monitor.errors import MonitorError, first_error
from monitor.finding import Search, events_after, events_before
from monitor.holding import held_of_emitters, held_of_runs
from monitor.orders import require_run
from monitor.recording import Incoming, Recorded, record_events
from monitor.schema import LARGEST_EVENT_BYTES, Holding, Identifier, Position, event_adapter
from monitor.service import Service, Serviced
from monitor.shapes import BatchResult, EventBatch, EventPage, EventResult, Problem
from monitor.stored import StoredEvent
from monitor.writer import Transaction

router = APIRouter(tags=["events"])
_EXPORTED_AT_ONCE = 1000
_LINES = "application/x-ndjson"
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}

Cursor = Annotated[int, Field(ge=0, le=2**53)]


class _SearchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order: Literal["oldest", "newest"] = Field(default="oldest", description="which comes first")
    after: Cursor = Field(default=0, description="the last `seq` that the reader has, where the oldest come first")
    before: Cursor | None = Field(default=None, description="the first `seq` that he has, where the newest come first")
    limit: Annotated[int, Field(ge=1, le=1000)] = 500
    type: Annotated[list[Identifier], Field(max_length=50)] = Field(default_factory=list, description="any of these")
    node: Annotated[list[Identifier], Field(max_length=50)] = Field(default_factory=list, description="any of these")
    round: Annotated[list[Cursor], Field(max_length=50)] = Field(default_factory=list, description="any of these")
    text: str = Field(default="", max_length=200, description="a part of the event as JSON, in any case")


class BatchError(MonitorError):
    """A batch that cannot be looked at item by item."""


@router.post("/api/events")
async def take_events(batch: EventBatch, service: Serviced) -> BatchResult:
    """Take in events. Whatever is `accepted` or a `duplicate` is on disk when the answer comes.

    A sender that gives back as `expected` what it was told is `held` is told when the database is another one, or an
    older copy: then nothing is taken, so that the order of its events stays, and it sends again from what is `held`.
    """
    largest = service.settings.largest_batch
    if len(batch.events) > largest:
        raise BatchError(f"a batch of {len(batch.events)} events is too large.", remedy=f"Send {largest} at most.")
    return await _take(service, batch.events, batch.expected)


@router.get("/api/runs/{run_id}/events", response_model=EventPage, responses=_UNKNOWN)
async def read_events(
    run_id: str,
    service: Serviced,
    search: Annotated[_SearchQuery, Query()],
) -> Response:
    """The events of a run after a cursor in their order, or before one with the newest first; or some of them."""

    def query(session: Session) -> list[StoredEvent]:
        require_run(session, run_id)
        wanted = Search(search.type, search.node, search.round, search.text)
        if search.order == "newest":
            return events_before(session, run_id, search.before, search.limit + 1, wanted)
        return events_after(session, run_id, search.after, search.limit + 1, wanted)

    found = await service.read(query)
    shown = found[: search.limit]
    following = shown[-1].seq if len(found) > search.limit else None
    cursors: dict[str, int | None] = {"next_after": None, "next_before": None}
    cursors["next_before" if search.order == "newest" else "next_after"] = following
    text = f'{{"events":[{",".join(event.to_json() for event in shown)}],{json.dumps(cursors)[1:]}'
    return Response(text, media_type="application/json")


@router.get(
    "/api/runs/{run_id}/export",
    response_class=StreamingResponse,
    responses=_UNKNOWN | {200: {"content": {_LINES: {"schema": {"type": "string"}}}}},
)
async def export_run(run_id: str, service: Serviced) -> StreamingResponse:
    """Every event of a run as its emitter sent it, one JSON object a line; what `import` takes."""
    await service.read(lambda session: require_run(session, run_id))

    async def lines() -> AsyncIterator[str]:
        seq = 0
        while events := await read_after(service, run_id, seq, _EXPORTED_AT_ONCE):
            seq = events[-1].seq
            yield "".join(f"{event.body}\n" for event in events)

    headers = {"Content-Disposition": f'attachment; filename="{run_id}.ndjson"'}
    return StreamingResponse(lines(), media_type=_LINES, headers=headers)


@router.post(
    "/api/events/import",
    openapi_extra={"requestBody": {"required": False, "content": {_LINES: {"schema": {"type": "string"}}}}},
)
async def import_events(request: Request, service: Serviced) -> BatchResult:
    """Take in a log, one event a line; lines that are here already are duplicates."""
    lines = [line for line in (await request.body()).splitlines() if line.strip()]
    results: list[EventResult] = []
    positions: dict[tuple[str, str], Position] = {}
    for start in range(0, len(lines), service.settings.largest_batch):
        taken = await _take(service, [_parsed(line) for line in lines[start : start + service.settings.largest_batch]])
        results += taken.results
        positions |= {(each.run_id, each.emitter_id): each for each in taken.held.positions}
    held = Holding(database=service.database.identity, positions=list(positions.values()))
    return BatchResult(results=results, held=held)


async def read_after(service: Service, run_id: str, seq: int, limit: int) -> list[StoredEvent]:
    """The first `limit` events of a run after `seq`."""
    return await service.read(lambda session: events_after(session, run_id, seq, limit))


async def _take(service: Service, items: Sequence[Any], expected: Holding | None = None) -> BatchResult:
    checked = [_checked(item) for item in items]
    incoming = [each for each in checked if not isinstance(each, EventResult)]
    events = [each.event for each in incoming]
    now, database = service.now(), service.database.identity

    def work(transaction: Transaction) -> tuple[list[Recorded] | None, Holding]:
        session = transaction.session
        if expected is not None:
            before = [(each.run_id, each.emitter_id) for each in expected.positions]
            if not held_of_emitters(session, database, before).includes(expected):
                runs = {each.run_id for each in (*events, *expected.positions)}
                return None, held_of_runs(session, database, runs)
        recorded = record_events(transaction, incoming, now)
        return recorded, held_of_emitters(session, database, [(each.run_id, each.emitter_id) for each in events])

    recorded, held = await service.write(work)
    if recorded is None:
        return BatchResult(results=[], held=held)
    taken = iter(recorded)
    results = [each if isinstance(each, EventResult) else _result(next(taken)) for each in checked]
    return BatchResult(results=results, held=held)


def _result(recorded: Recorded) -> EventResult:
    return EventResult(outcome=recorded.outcome, event_id=str(recorded.event.event_id), seq=recorded.seq)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode(errors="replace")


def _checked(item: Any) -> Incoming | EventResult:
    try:
        event = event_adapter.validate_python(item)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        given = item.get("event_id") if isinstance(item, dict) else None
        return _refused(given if isinstance(given, str) else None, first_error(found, "event"))
    body = event.model_dump_json()
    if len(body) > LARGEST_EVENT_BYTES or len(body.encode()) > LARGEST_EVENT_BYTES:
        size = len(body.encode())
        return _refused(str(event.event_id), f"event: it has {size:,} bytes, and may have {LARGEST_EVENT_BYTES:,}")
    return Incoming(event, body)


def _refused(event_id: str | None, error: str) -> EventResult:
    return EventResult(
        outcome="refused", event_id=None if event_id is None else _printable(event_id), error=_printable(error)
    )


def _printable(text: str) -> str:
    """Without half characters, which JSON can hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()
