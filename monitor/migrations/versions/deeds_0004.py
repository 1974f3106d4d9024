"""a monitor's own deeds among the events, and what a run is at"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = ("longest_gaps", "metrics", "history")


def upgrade() -> None:
    op.add_column("event", sa.Column("deed", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("closing", sa.String(), nullable=True))
    op.add_column("run", sa.Column("lease_over", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("activity", sa.String(), nullable=True))
    op.add_column("run", sa.Column("progress_at", sa.String(32), nullable=True))
    for name in _JSON:
        op.add_column("run", sa.Column(name, sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    for name in reversed(_JSON):
        op.drop_column("run", name)
    op.drop_column("run", "progress_at")
    op.drop_column("run", "activity")
    op.drop_column("run", "lease_over")
    op.drop_column("run", "closing")
    op.drop_column("event", "deed")
