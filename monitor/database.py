"""The monitor's SQLite database: opened by one monitor, in WAL mode, brought to this version's schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from monitor.errors import DatabaseError

_BUSY_SECONDS = 5.0


class Database:
    """An open database. Any thread may read; `monitor.writer.Writer` alone writes.

    Args:
        path: the file; made when absent.

    Raises:
        DatabaseError: another monitor has it, it is of a later version, damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=0)
            self._lock.acquire()
        except Timeout as error:
            raise DatabaseError(
                f"another monitor has {path} open.", remedy="End it, or give this one a --home of its own."
            ) from error
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            self.engine = _engine(path)
            with explained(path):
                _migrate(self.engine, path)
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view of everything that is committed.

        Raises:
            DatabaseError: it cannot be read.
        """
        with explained(self.path), Session(self.engine) as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()
        self._lock.release()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions at moments of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _migrate(engine: Engine, path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", "monitor:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        present = MigrationContext.configure(connection).get_current_revision()
        if present is not None and present not in known:
            raise DatabaseError(
                f"{path} was written by a later version of the monitor (schema {present}).",
                remedy="Start that version, or move the file away.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite says into `DatabaseError`."""
    try:
        yield
    except DBAPIError as error:
        raise _unusable(path, error.orig or error) from error


_REMEDIES = (
    ("disk is full", "Free some space; whoever was refused may send it again."),
    ("disk I/O error", "Free some space, or see whether the disk is sound; whoever was refused may send it again."),
    ("readonly", "Give the monitor's user the right to write it and its folder."),
    ("unable to open", "Give the monitor's user the right to write it and its folder."),
    ("locked", "End what else has it open, for example a sqlite3 shell in a transaction."),
    (
        "malformed",
        "Restore a copy, or move it away: runs can be loaded again from their logs by `fedforge events import`.",
    ),
    ("not a database", "Move it away: runs can be loaded again from their logs by `fedforge events import`."),
)


def _unusable(path: Path, error: BaseException) -> DatabaseError:
    remedy = next((remedy for words, remedy in _REMEDIES if words in str(error)), "")
    return DatabaseError(f"the database {path} cannot be used: {error}.", remedy=remedy)
