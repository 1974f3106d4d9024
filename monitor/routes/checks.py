"""Checks: what claimants say of a request before it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from monitor.checks import Answered, CheckAnswer, CheckRequest, CheckView, NextCheck
from monitor.offers import OfferError, objection
from monitor.service import Serviced
from monitor.sessions import Called

router = APIRouter(prefix="/api/checks", tags=["checks"])
_LONGEST_WAIT_SECONDS = 25.0


@router.post("")
async def check_request(body: CheckRequest, service: Serviced, caller: Called) -> CheckView:
    """Ask whoever would carry it out: is it valid, who would hold what, and how long will it take.

    The answer comes within 5 s (`check_seconds`), also where nobody has any: then it says who is missing.
    """
    living = service.offers.living(service.now())
    if caller is not None and caller.by_browser and (reason := objection(living, body.request, by_browser=True)):
        raise OfferError(reason)
    return await service.checks.ask(body.request, service.settings.check_seconds)


@router.get("/next")
async def next_check(
    service: Serviced,
    claimant: Annotated[str, Query(min_length=1, max_length=200)],
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_SECONDS)] = 0,
) -> NextCheck:
    """For a claimant whose offer says that it answers checks: what is asked, as soon as somebody asks."""
    return NextCheck(check=await service.checks.next(claimant, wait))


@router.post("/{check_id}")
async def answer_check(check_id: Annotated[str, Path(max_length=64)], body: CheckAnswer, service: Serviced) -> Answered:
    """For the claimant that was given the question."""
    return Answered(waited_for=service.checks.answer(check_id, body))
