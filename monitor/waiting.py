"""Runs that wait for somebody who carries them out, as one claimant is shown them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from monitor.offers import OfferView, takes_up
from monitor.schema import RunRequest
from monitor.shapes import RunView, Shape
from monitor.tables import RunRow
from monitor.views import run_view

_MOST = 500


class WaitingRuns(Shape):
    """Runs that a claimant may claim, the oldest first."""

    runs: list[RunView]


def waiting_runs(session: Session, offers: Sequence[OfferView], claimant: str, now: datetime) -> WaitingRuns:
    """Those that are for a claimant; none where he holds no offer.

    Args:
        offers: those that hold.
    """
    if all(view.claimant != claimant for view in offers):
        return WaitingRuns(runs=[])
    query = select(RunRow).where(col(RunRow.claimable)).order_by(col(RunRow.created_at), col(RunRow.run_id))
    rows = session.exec(query.limit(_MOST)).all()
    return WaitingRuns(runs=[run_view(row, now) for row in rows if _is_for(row, offers, claimant)])


def _is_for(row: RunRow, offers: Sequence[OfferView], claimant: str) -> bool:
    if row.request is None or row.engine is not None:
        return True  # it goes on where its folder is, with what it was begun with
    return takes_up(offers, claimant, RunRequest.model_validate_json(row.request))
