"""Offers of claimants: held, ended, listed; and what waits for each."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from monitor.offers import Offer, OfferPage, OfferView
from monitor.service import Serviced
from monitor.waiting import WaitingRuns, waiting_runs

router = APIRouter(prefix="/api/offers", tags=["offers"])
Claimant = Annotated[str, Path(pattern=r"^[^/\x00-\x1f]{1,200}$", description="as it claims runs")]


@router.get("")
async def list_offers(service: Serviced) -> OfferPage:
    """What those who are there offer to carry out."""
    return OfferPage(offers=service.offers.living(service.now()))


@router.put("/{claimant}")
async def hold_offer(claimant: Claimant, body: Offer, service: Serviced) -> OfferView:
    """Hold an offer for 60 s from now, in place of this claimant's former one; offer it again before they are over."""
    return service.offers.put(claimant, body, service.now())


@router.delete("/{claimant}", status_code=status.HTTP_204_NO_CONTENT)
async def end_offer(claimant: Claimant, service: Serviced) -> None:
    """End an offer at once, as a claimant does that ends."""
    service.offers.withdraw(claimant)


@router.get("/{claimant}/runs")
async def list_waiting(claimant: Claimant, service: Serviced) -> WaitingRuns:
    """What a claimant may claim: what its offer takes, and runs that have begun; nothing where it holds no offer."""
    now = service.now()
    return await service.read(lambda session: waiting_runs(session, service.offers.living(now), claimant, now))
