"""a link to where whoever claimed a run shows what it does"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("claimant_url", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("run", "claimant_url")
