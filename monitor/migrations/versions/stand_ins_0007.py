"""what of a run is not real, found in what it has said of itself"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SET_OF_RUN = sa.text("UPDATE run SET stand_ins = :found WHERE run_id = :run_id")
_SET_OF_PHASE = sa.text("UPDATE phase SET body = :body WHERE phase = :phase")


def upgrade() -> None:
    op.add_column("run", sa.Column("stand_ins", sa.JSON(), nullable=False, server_default="[]"))
    database = op.get_bind()
    described = "SELECT run_id, body FROM event WHERE type = 'run_described' ORDER BY run_id, seq"
    found = {run_id: _stand_ins(json.loads(body)) for run_id, body in database.execute(sa.text(described))}
    for run_id, names in found.items():
        database.execute(_SET_OF_RUN, {"run_id": run_id, "found": json.dumps(names)})
    for phase, body in database.execute(sa.text("SELECT phase, body FROM phase")).all():
        report = json.loads(body)
        accepted = report.get("accepted")
        if accepted is not None and accepted["run_id"] in found:
            accepted["stand_ins"] = found[accepted["run_id"]]
            database.execute(_SET_OF_PHASE, {"phase": phase, "body": json.dumps(report)})


def _stand_ins(described: dict[str, dict[str, bool]]) -> list[str]:
    phantom = ["phantom_data"] if described["data"]["phantom"] else []
    return phantom if described["backbone"]["trained"] else [*phantom, "untrained_backbone"]


def downgrade() -> None:
    op.drop_column("run", "stand_ins")
