from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlmodel import SQLModel

from monitor.database import Database
from monitor.errors import DatabaseError
from monitor.orders import require_run
from monitor.phases import phase_list
from monitor.tables import CommandRow, RunRow
from monitor.views import snapshot
from tests.support.monitor_in_hand import in_hand
from tests.support.monitor_process import of_server


@contextmanager
def database_of(revision: str, file: Path) -> Iterator[Connection]:
    """A database as a monitor of then would have made it, to be filled in the block."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "monitor:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection
    engine.dispose()


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
    with database_of("0001", file) as connection:
        connection.execute(
            text(
                "INSERT INTO run (run_id, asked_here, created_at, state, attempt, claimable, round, last_seq) "
                "VALUES ('old', 0, '2026-11-01T00:00:00+00:00', 'completed', 1, 0, 5, 40)"
            )
        )

    database = Database(file)
    try:
        with database.reading() as session:
            kept = session.get(RunRow, "old")
    finally:
        database.close()

    assert kept is not None
    assert (kept.state, kept.round, kept.last_seq, kept.claimant_url) == ("completed", 5, 40, None)


def test_what_of_a_run_is_not_real_is_found_in_what_an_older_monitor_kept(tmp_path: Path) -> None:
    file = tmp_path / "monitor.db"
    moment = "2026-11-20T10:00:00.000000+00:00"
    described = {"data": {"phantom": True}, "backbone": {"trained": False}}
    accepted = {"source": "baseline", "accepted": {"run_id": "old", "model_sha256": "0f" * 32, "accepted_at": moment,
                                                   "scores": {"accuracy": 0.5}}}  # fmt: skip
    with database_of("0006", file) as connection:
        connection.execute(
            text(
                "INSERT INTO run (run_id, asked_here, created_at, state, attempt, claimable, round, last_seq) "
                f"VALUES ('old', 0, '{moment}', 'completed', 1, 0, 5, 1)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO event (run_id, seq, event_id, type, round, node_id, received_at, body) "
                f"VALUES ('old', 1, 'e', 'run_described', 0, 'server', '{moment}', :body)"
            ),
            {"body": json.dumps(described)},
        )
        connection.execute(
            text(f"INSERT INTO phase (phase, told_at, body) VALUES ('blood', '{moment}', :body)"),
            {"body": json.dumps(accepted)},
        )

    database = Database(file)
    try:
        with database.reading() as session:
            kept = session.get(RunRow, "old")
            (phase,) = phase_list(session).phases
    finally:
        database.close()

    assert kept is not None
    assert phase.accepted is not None
    assert kept.stand_ins == phase.accepted.stand_ins == ["phantom_data", "untrained_backbone"]


def test_each_database_has_an_identity_of_its_own_which_it_keeps(tmp_path: Path) -> None:
    def identity(name: str) -> str:
        database = Database(tmp_path / name)
        database.close()
        return database.identity

    assert identity("one.db") == identity("one.db")
    assert identity("one.db") != identity("another.db")


def test_a_run_of_the_version_before_goes_on_with_the_command_that_is_under_way(tmp_path: Path) -> None:
    file = tmp_path / "monitor.db"
    moment = "2026-11-20T10:00:00.000000+00:00"
    begun = of_server("old", 1, "run_started", engine="inprocess", rounds_total=3, clients=3)
    rows = [
        "INSERT INTO run (run_id, asked_here, created_at, state, attempt, claimable, round, last_seq, last_event_at) "
        f"VALUES ('old', 0, '{moment}', 'pausing', 1, 0, 1, 1, '{moment}')",
        "INSERT INTO event (run_id, seq, event_id, type, round, node_id, received_at, body) "
        f"VALUES ('old', 1, '{begun['event_id']}', 'run_started', 0, 'server', '{moment}', :body)",
        "INSERT INTO emitter (run_id, emitter_id, received, highest) VALUES ('old', 'server-1', 1, 1)",
        "INSERT INTO node (run_id, node_id, role, status, type, round, attempt) "
        "VALUES ('old', 'monitor', 'server', 'requested', 'run_requested', 0, 1)",
        "INSERT INTO command (command_id, run_id, command, given_by, attempt, requested_at) "
        f"VALUES ('c', 'old', 'pause', 'Ada', 1, '{moment}')",
    ]
    with database_of("0003", file) as connection:
        for row in rows:
            connection.execute(text(row), {"body": json.dumps(begun)} if ":body" in row else {})

    with in_hand(tmp_path) as monitor:
        monitor.hear(of_server("old", 2, "run_paused", round=1))
        with monitor.database.reading() as session:
            run, given = session.get(RunRow, "old"), session.get(CommandRow, "c")
            shown = snapshot(session, require_run(session, "old"), monitor.now)

    assert run is not None
    assert (run.state, run.last_seq) == ("paused", 3)  # that it came to pass is an event, too
    assert given is not None
    assert (given.outcome, given.effective_round) == ("effective", 1)
    assert shown.missing == []


@pytest.mark.parametrize("beside", [False, True])
def test_a_database_of_a_later_version_is_left_alone_and_the_reader_sent_to_that_version(
    beside: bool, tmp_path: Path
) -> None:
    file = tmp_path / "monitor.db"
    Database(file).close()
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(DatabaseError, match=r"by a later version of the monitor \(schema 9999\)\. Start that version"):
        Database(file, beside=beside)
