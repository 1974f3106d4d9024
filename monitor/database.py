"""The monitor's SQLite database: opened by one monitor, in WAL mode, brought to this version's schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel, select

from monitor.errors import DatabaseError
from monitor.tables import IdentityRow

_BUSY_SECONDS = 5.0


class Database:
    """A monitor's database, open. Any thread may read; in a monitor, `monitor.writer.Writer` alone writes.

    Args:
        path: the file; made when absent.
        beside: whether a monitor may have it open too; then it is there already, and of this version.

    Raises:
        DatabaseError: another monitor has it, it is of another version, damaged, or cannot be written.
    """

    def __init__(self, path: Path, *, beside: bool = False) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=0)
        if beside:
            if not path.exists():
                raise DatabaseError(f"there is no database {path}.", remedy="Name the monitor's home by --home.")
            self.engine = _engine(path)
            with explained(path):
                _require_present(self.engine, path)
            self._open()
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
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
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        with self.reading() as session:
            self.identity = session.exec(select(IdentityRow.database)).one()
            """Its name, by which senders know it from another one behind the same address."""
        self._file = self._present_file()

    def _present_file(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.path, error) from error
        return found.st_dev, found.st_ino

    def _require_own_file(self) -> None:
        """What is written to a file that has no name any more is gone with the process."""
        present = self._present_file()
        if present != self._file:
            fate = "is not there any more" if present is None else "is not the file any more that this monitor has open"
            raise DatabaseError(
                f"the database {self.path} {fate}; nothing is taken.",
                remedy="Start the monitor again, or put the file back.",
            )

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view of everything that is committed.

        Raises:
            DatabaseError: it cannot be read.
        """
        with explained(self.path), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, which nobody else's comes between; committed at the end of the block.

        Raises:
            DatabaseError: it cannot be written, or its file was removed; nothing of it is kept.
        """
        with explained(self.path), _writing(self.engine) as connection:
            yield connection
        self._require_own_file()

    def look(self, *, thoroughly: bool) -> None:
        """Read from the file what a process would that begins now.

        Args:
            thoroughly: every page of it; else the newest row of each table, which takes no time in any size.

        Raises:
            DatabaseError: it is damaged, or another database.
        """
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=rw"  # it makes none
            with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
                for table in SQLModel.metadata.tables:
                    connection.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 1").fetchall()  # noqa: S608
                found = connection.execute("SELECT database FROM identity").fetchall()
                damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if thoroughly else "ok"
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        if damage != "ok":
            raise _unusable(self.path, sqlite3.DatabaseError(f"malformed, {damage}"))
        if found != [(self.identity,)]:
            raise _unusable(self.path, sqlite3.DatabaseError("malformed, it holds another database"))

    def compact(self) -> None:
        """Give the space of what was removed back to the disk; whoever writes waits meanwhile."""
        with closing(self.engine.raw_connection()) as connection:
            try:
                connection.cursor().execute("VACUUM")
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise _unusable(self.path, error) from error

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


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def _migrate(engine: Engine, path: Path) -> None:
    config = _migrations()
    scripts = ScriptDirectory.from_config(config)
    with _writing(engine) as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        _refuse_later(present, scripts, path)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _require_present(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_migrations())
    _refuse_later(present, scripts, path)
    if present != scripts.get_current_head():
        raise DatabaseError(
            f"{path} was written by an earlier version of the monitor (schema {present}).",
            remedy="Start the monitor of this version once; it brings the database up to date.",
        )


def _refuse_later(present: str | None, scripts: ScriptDirectory, path: Path) -> None:
    if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseError(
            f"{path} was written by a later version of the monitor (schema {present}).",
            remedy="Start that version, or move the file away.",
        )


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", "monitor:migrations")
    return config


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
    ("No space left", "Free some space."),
    ("Not a directory", "Give another --home: a file is in the way."),
    ("File exists", "Give another --home: a file is in the way."),
    ("Permission denied", "Give the monitor's user the right to write it and its folder."),
    ("Read-only", "Give the monitor's user the right to write it and its folder."),
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
