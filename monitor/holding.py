"""What is held of each emitter's events: told with every acknowledgement, and compared with what was told before."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, select

from monitor.schema import Holding, Position
from monitor.tables import EmitterRow


def held_of_emitters(session: Session, database: str, emitters: Collection[tuple[str, str]]) -> Holding:
    """Of some emitters, each named by its run and itself."""
    wanted = set(emitters)
    query = select(EmitterRow).where(
        col(EmitterRow.run_id).in_({run_id for run_id, _ in wanted}),
        col(EmitterRow.emitter_id).in_({emitter_id for _, emitter_id in wanted}),
    )
    rows = [row for row in session.exec(query) if (row.run_id, row.emitter_id) in wanted]
    return Holding(database=database, positions=[_position(row) for row in rows])


def held_of_runs(session: Session, database: str, run_ids: Collection[str]) -> Holding:
    """Of all emitters of some runs."""
    rows = session.exec(select(EmitterRow).where(col(EmitterRow.run_id).in_(set(run_ids))))
    return Holding(database=database, positions=[_position(row) for row in rows])


def _position(row: EmitterRow) -> Position:
    return Position(run_id=row.run_id, emitter_id=row.emitter_id, emitter_seq=row.highest)
