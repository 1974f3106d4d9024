from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

from monitor.database import Database
from monitor.tables import RunRow


def test_the_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    database = Database(tmp_path / "monitor.db")
    try:
        with database.engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    finally:
        database.close()

    assert differences == []


def test_a_database_of_the_first_version_is_brought_up_to_date_and_keeps_its_runs(tmp_path: Path) -> None:
    file = tmp_path / "monitor.db"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "monitor:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO run (run_id, asked_here, created_at, state, attempt, claimable, round, last_seq) "
                "VALUES ('old', 0, '2026-11-01T00:00:00+00:00', 'completed', 1, 0, 5, 40)"
            )
        )
    engine.dispose()

    database = Database(file)
    try:
        with database.reading() as session:
            kept = session.get(RunRow, "old")
    finally:
        database.close()

    assert kept is not None
    assert (kept.state, kept.round, kept.last_seq, kept.claimant_url) == ("completed", 5, 40, None)


def test_each_database_has_an_identity_of_its_own_which_it_keeps(tmp_path: Path) -> None:
    def identity(name: str) -> str:
        database = Database(tmp_path / name)
        database.close()
        return database.identity

    assert identity("one.db") == identity("one.db")
    assert identity("one.db") != identity("another.db")
