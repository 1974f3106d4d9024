"""What stands between runs: the sites of federations and the phases; and what left each site in a run."""

from __future__ import annotations

from fastapi import APIRouter

from monitor.disclosures import Disclosures, disclosures
from monitor.orders import require_run
from monitor.phases import PhaseList, PhaseReport, PhaseView, keep_phase, phase_list
from monitor.schema import Identifier
from monitor.service import Serviced
from monitor.sites import FederationReport, SiteList, keep_report, site_list
from monitor.writer import Transaction

router = APIRouter(prefix="/api", tags=["federations"])


@router.put("/sites")
async def tell_sites(body: FederationReport, service: Serviced) -> SiteList:
    """For whoever keeps a federation: its sites as they are now, in place of what was told before."""
    now = service.now()

    def work(transaction: Transaction) -> SiteList:
        keep_report(transaction, body, now)
        return site_list(transaction.session, now)

    return await service.write(work)


@router.get("/sites")
async def list_sites(service: Serviced) -> SiteList:
    """The sites of all federations, on line or not, also between runs."""
    return await service.read(lambda session: site_list(session, service.now()))


@router.put("/phases/{phase}")
async def tell_phase(phase: Identifier, body: PhaseReport, service: Serviced) -> PhaseView:
    """For whoever keeps the phases: what is accepted, what blocks; what is left out stays as it was told before."""
    now = service.now()
    return await service.write(lambda transaction: keep_phase(transaction, phase, body, now))


@router.get("/phases")
async def list_phases(service: Serviced) -> PhaseList:
    """The chain of phases: what each has, and what it waits for."""
    return await service.read(phase_list)


@router.get("/runs/{run_id}/disclosures")
async def show_disclosures(run_id: str, service: Serviced) -> Disclosures:
    """What has left each site in a run: kinds of message, count, bytes, and the smallest group behind a number."""
    return await service.read(lambda session: disclosures(session, require_run(session, run_id)))
