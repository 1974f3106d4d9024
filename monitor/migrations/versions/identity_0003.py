"""an identity of the database, by which senders know another one behind the same address"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "identity",
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("tried_at", sa.String(32), nullable=True),
        sa.Column("ballast", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("database"),
    )
    op.bulk_insert(table, [{"database": uuid.uuid4().hex, "tried_at": None, "ballast": b""}])


def downgrade() -> None:
    op.drop_table("identity")
