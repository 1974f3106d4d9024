"""Runs: start, list, look at, command, claim."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response, status
from pydantic import Field

from monitor.columns import series, timeline
from monitor.control import Desired, State, desired
from monitor.listing import Listing, run_page
from monitor.listing import Order as ListOrder
from monitor.offers import OfferError, objection
from monitor.orders import ConflictError, Order, acknowledge, claim, give, renew, require_run
from monitor.recording import recording
from monitor.rows import control_of
from monitor.schema import Identifier, RunRequested
from monitor.service import Service, Serviced
from monitor.sessions import Called
from monitor.shapes import (
    ClaimRequest,
    CommandPage,
    CommandRequest,
    CommandView,
    DesiredView,
    LeaseView,
    NodePage,
    RoundPage,
    RunPage,
    RunView,
    Series,
    Snapshot,
    StartRequest,
    Timeline,
)
from monitor.tables import RunRow
from monitor.views import command_page, command_view, lease_view, node_page, round_page, run_view, snapshot
from monitor.writer import Transaction

router = APIRouter(prefix="/api/runs", tags=["runs"])
_LONGEST_WAIT_SECONDS = 25.0
_LONGEST_TIMELINE = 200_000

Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=500)]
Names = Annotated[list[Annotated[str, Field(max_length=64)]] | None, Query(max_length=50, description="any of these")]
Attempt = Annotated[int, Query(ge=1, le=2**31)]


@router.get("")
async def list_runs(
    service: Serviced,
    state: Annotated[list[State] | None, Query(description="any of these")] = None,
    phase: Names = None,
    engine: Names = None,
    text: Annotated[str, Query(max_length=200, description="a part of name, phase, engine or who asked")] = "",
    claimable: bool | None = None,
    sort: ListOrder = ListOrder.CREATED,
    ascending: bool = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> RunPage:
    """Runs with their latest metrics and a short history, by default the newest first; and how many in each state."""
    listing = Listing(state or (), phase or (), engine or (), text, claimable, sort, ascending)
    return await service.read(lambda session: run_page(session, service.now(), listing, cursor=cursor, limit=limit))


@router.post("", status_code=status.HTTP_201_CREATED)
async def start_run(body: StartRequest, service: Serviced, caller: Called) -> RunView:
    """Ask for a run; whoever claims it starts it. The same request twice is one run.

    It is refused where those who are there offer something else; where nobody is there it waits. A page chooses by name
    what they offer: no path, and of `runtime` the engine alone. A session's request is its person's.
    """
    now = service.now()
    if caller is not None and caller.name is not None:
        body.request = body.request.model_copy(update={"requested_by": caller.name})
    by_browser = caller is not None and caller.by_browser
    reason = objection(service.offers.living(now), body.request, by_browser=by_browser)

    def work(transaction: Transaction) -> RunView:
        known = transaction.session.get(RunRow, body.run_id)
        if known is not None:
            if known.request == body.request.model_dump_json():
                return run_view(known, now)
            control = control_of(known)
            raise ConflictError(
                f"there is a run {body.run_id!r} already.",
                state=control.state,
                allowed=control.allowed,
                remedy="Choose another run_id.",
            )
        if reason is not None:
            raise OfferError(reason)
        with recording(transaction, body.run_id, now) as record:
            record.do(RunRequested, request=body.request)
        return run_view(require_run(transaction.session, body.run_id), now)

    return await service.write(work)


@router.get("/{run_id}")
async def show_run(run_id: str, service: Serviced) -> RunView:
    """One run."""
    return await service.read(lambda session: run_view(require_run(session, run_id), service.now()))


@router.get("/{run_id}/snapshot")
async def show_snapshot(run_id: str, service: Serviced) -> Snapshot:
    """A run with its nodes and rounds in one consistent view; the stream after its cursor continues it."""
    return await service.read(lambda session: snapshot(session, require_run(session, run_id), service.now()))


@router.get("/{run_id}/series")
async def show_series(run_id: str, service: Serviced) -> Series:
    """What changes from round to round, of the run and of each site, as columns."""
    return await service.read(lambda session: series(session, require_run(session, run_id)))


@router.get("/{run_id}/timeline", response_model=Timeline)
async def show_timeline(
    run_id: str,
    service: Serviced,
    after: Annotated[int, Query(ge=0, le=2**53, description="the last `seq` that the reader has")] = 0,
    limit: Annotated[int, Query(ge=1, le=_LONGEST_TIMELINE)] = _LONGEST_TIMELINE,
) -> Response:
    """The events of a run as columns, without heartbeats: what the way through time is folded from."""
    text = await service.read(
        lambda session: timeline(session, require_run(session, run_id), after=after, limit=limit).model_dump_json()
    )
    return Response(text, media_type="application/json")


@router.get("/{run_id}/nodes")
async def list_nodes(run_id: str, service: Serviced, cursor: Cursor = None, limit: Limit = 100) -> NodePage:
    """The nodes of a run, as their latest events leave them."""
    return await service.read(
        lambda session: node_page(session, require_run(session, run_id), service.now(), cursor=cursor, limit=limit)
    )


@router.get("/{run_id}/rounds")
async def list_rounds(run_id: str, service: Serviced, cursor: Cursor = None, limit: Limit = 100) -> RoundPage:
    """The rounds of a run."""
    return await service.read(
        lambda session: round_page(session, require_run(session, run_id), cursor=cursor, limit=limit)
    )


@router.get("/{run_id}/commands")
async def list_commands(run_id: str, service: Serviced, cursor: Cursor = None, limit: Limit = 100) -> CommandPage:
    """Who asked for what, when the run heard of it, and when it came to pass; the latest first."""
    return await service.read(
        lambda session: command_page(session, require_run(session, run_id), cursor=cursor, limit=limit)
    )


@router.post("/{run_id}/commands", status_code=status.HTTP_202_ACCEPTED)
async def give_command(
    run_id: str,
    body: CommandRequest,
    service: Serviced,
    caller: Called,
    idempotency_key: Annotated[Identifier | None, Header()] = None,
) -> CommandView:
    """Pause, resume or stop. What is not legal now is refused with 409, the state, and what is.

    A command that is given in a session is its person's.
    """
    given_by = (caller.name if caller else None) or body.given_by
    order = Order(body.command_id or idempotency_key or uuid.uuid4().hex, run_id, body.command, given_by)
    now = service.now()
    return await service.write(lambda transaction: command_view(give(transaction, order, now)))


@router.get("/{run_id}/desired")
async def ask_desired(
    run_id: str,
    service: Serviced,
    attempt: Attempt = 1,
    known: Annotated[Desired | None, Query(description="what the run was told last")] = None,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_SECONDS)] = 0,
) -> DesiredView:
    """For the run itself: what it is to do. With `known` and `wait` the answer comes once it is another."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while True:
        news = service.newest.news(run_id)
        view = await service.read(lambda session: _desired(require_run(session, run_id), attempt))
        if view.desired != known:
            await _note_told(service, run_id, attempt)
            return view
        left = until - loop.time()
        if left <= 0 or service.newest.ended:
            return view
        await service.newest.wait(news, left)


async def _note_told(service: Service, run_id: str, attempt: int) -> None:
    now = service.now()
    await service.write(lambda transaction: acknowledge(transaction, run_id, attempt, now))


def _desired(run: RunRow, attempt: int) -> DesiredView:
    control = control_of(run)
    return DesiredView(desired=desired(control, attempt), attempt=control.attempt)


@router.post("/{run_id}/claim", status_code=status.HTTP_201_CREATED)
async def claim_run(run_id: str, body: ClaimRequest, service: Serviced) -> LeaseView:
    """Take a run that waits for somebody to start it; one claimant gets it."""
    now, seconds = service.now(), service.settings.lease_seconds
    return await service.write(lambda change: lease_view(claim(change, run_id, body.claimant, body.url, seconds, now)))


@router.post("/{run_id}/leases/{lease_id}")
async def renew_lease(run_id: str, lease_id: Annotated[str, Path(max_length=64)], service: Serviced) -> LeaseView:
    """Say that the claimant still has the run; 409 once it has it no longer."""
    now, seconds = service.now(), service.settings.lease_seconds
    return await service.write(lambda change: lease_view(renew(change, run_id, lease_id, seconds, now)))
