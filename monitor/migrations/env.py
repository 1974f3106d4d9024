"""Alembic's entry: migrates the connection that `monitor.database` gives it."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import monitor.tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
