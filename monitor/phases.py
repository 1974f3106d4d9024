"""The phases: what is accepted of each, what it is worth, and what keeps the next one waiting."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field
from sqlmodel import Session, col, select

from monitor.schema import NO_TRUTH, STAND_INS, Identifier, Link, Number, Person, Sha256, StandIn
from monitor.shapes import Shape
from monitor.tables import PhaseRow
from monitor.writer import Transaction

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Scores = dict[Annotated[str, Field(max_length=100)], Number]


class AcceptedModel(Shape):
    """The model that the phase has, and that the next one may start from."""

    run_id: Identifier
    model_sha256: Sha256
    accepted_at: AwareDatetime
    scores: Scores
    """On the test split."""
    stand_ins: list[StandIn] = Field(default_factory=list, max_length=len(STAND_INS))
    """What it was made with that is not real, so that its scores say nothing of medicine."""
    baseline: Scores | None = None
    """That it is held against."""
    lowest: Scores | None = None
    """Of a site alone, the weakest."""
    highest: Scores | None = None
    """Of all rows in one place."""


class Blocker(Shape):
    """What keeps a phase from going on."""

    reason: Text
    next_step: Text


class AuditDecision(Shape):
    """That somebody allowed what an audit found."""

    finding: Annotated[str, Field(min_length=1, max_length=200)]
    by: Person
    reason: Text
    at: AwareDatetime | None = None


class PhaseReport(Shape):
    """A phase, as whoever keeps it tells; what is left out stays as it was told before."""

    source: Literal["dagster", "baseline"]
    order: Annotated[int, Field(ge=0, lt=1000), NO_TRUTH] = 0
    """Where it stands in the chain."""
    accepted: AcceptedModel | None = None
    blockers: list[Blocker] = Field(default_factory=list, max_length=50)
    decisions: list[AuditDecision] = Field(default_factory=list, max_length=200)
    links: dict[Annotated[str, Field(max_length=100)], Link] = Field(default_factory=dict, max_length=20)


class PhaseView(PhaseReport):
    """A phase, and when it was told."""

    phase: str
    told_at: AwareDatetime


class PhaseList(Shape):
    """In the order of the chain."""

    phases: list[PhaseView]


def keep_phase(transaction: Transaction, phase: str, report: PhaseReport, now: datetime) -> PhaseView:
    """Keep what is told of a phase: whatever it names takes the place of what was told of that before."""
    row = transaction.session.get(PhaseRow, phase)
    if row is None:
        row = PhaseRow(phase=phase, told_at=now, body="")
    else:
        former = PhaseReport.model_validate_json(row.body)
        report = former.model_copy(update={name: getattr(report, name) for name in report.model_fields_set})
    row.told_at, row.body = now, report.model_dump_json()
    transaction.session.add(row)
    return _view(row)


def phase_list(session: Session) -> PhaseList:
    """Every phase of which something was told."""
    views = [_view(row) for row in session.exec(select(PhaseRow).order_by(col(PhaseRow.phase)))]
    return PhaseList(phases=sorted(views, key=lambda view: view.order))


def _view(row: PhaseRow) -> PhaseView:
    report = PhaseReport.model_validate_json(row.body)
    return PhaseView(**report.model_dump(), phase=row.phase, told_at=row.told_at)
