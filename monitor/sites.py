"""The sites of federations, also between runs: what whoever keeps a federation has told last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, Field
from sqlmodel import Session, col, delete, select

from monitor.schema import NO_TRUTH, Identifier, Number
from monitor.shapes import Shape
from monitor.tables import SiteRow
from monitor.writer import Transaction

_FRESH = timedelta(seconds=60)
_MOST_SITES = 10_000
Text = Annotated[str, Field(max_length=2000)]


class Refusal(Shape):
    """That a site was not let in."""

    at: AwareDatetime
    reason: Text


class SiteStatus(Shape):
    """A site as the federation sees it; `null` is what it does not know."""

    site: Annotated[int, Field(ge=0, lt=_MOST_SITES), NO_TRUTH] | None = None
    """Its number, by which runs know it."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    online: bool
    last_seen_at: AwareDatetime | None = None
    version: Annotated[str, Field(max_length=100)] | None = None
    """Of FedForge, at the site."""
    clock_offset_seconds: Number | None = None
    """How far the site's clock is ahead of the federation's, by the time that it signs into its requests: what these
    take on their way is in it, as if the clock were that much further behind. It is shown, and orders nothing."""
    certificate_ends_at: AwareDatetime | None = None
    last_refusal: Refusal | None = None


class FederationReport(Shape):
    """All sites of one federation, as they are now."""

    federation: Identifier
    sites: list[SiteStatus] = Field(max_length=_MOST_SITES)


class SiteView(SiteStatus):
    """A site, and when that was told."""

    federation: str
    told_at: AwareDatetime
    stale: bool
    """Told more than a minute ago: what is said may be so no more."""


class SiteList(Shape):
    taken_at: AwareDatetime
    sites: list[SiteView]


def keep_report(transaction: Transaction, report: FederationReport, now: datetime) -> None:
    """Take the place of what was told of the federation before."""
    session = transaction.session
    session.exec(delete(SiteRow).where(col(SiteRow.federation) == report.federation))
    session.add_all(
        SiteRow(federation=report.federation, place=place, told_at=now, body=status.model_dump_json())
        for place, status in enumerate(report.sites)
    )


def site_list(session: Session, now: datetime) -> SiteList:
    """All sites, by federation, in the order in which they were told."""
    rows = session.exec(select(SiteRow).order_by(col(SiteRow.federation), col(SiteRow.place))).all()
    return SiteList(taken_at=now, sites=_views(rows, now))


def _views(rows: Sequence[SiteRow], now: datetime) -> list[SiteView]:
    return [
        SiteView(
            **SiteStatus.model_validate_json(row.body).model_dump(),
            federation=row.federation,
            told_at=row.told_at,
            stale=now - row.told_at > _FRESH,
        )
        for row in rows
    ]
