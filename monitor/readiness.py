"""Whether the monitor can do its work, found out by doing some; its log says when it cannot, and when it can again."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlmodel import update

from monitor.errors import DatabaseError
from monitor.tables import IdentityRow
from monitor.writer import Transaction

_log = logging.getLogger("monitor")
_BALLAST = b"\0" * 1024 * 1024
"""As large as the largest batch of an outbox: on a full disk a small row may still find a place."""


class Readiness:
    """The trouble that there is with the database; lives in one event loop."""

    def __init__(self) -> None:
        self.trouble = False
        self._said: set[str] = set()

    def failed(self, error: DatabaseError) -> None:
        """Something was refused for the database's sake; each cause is said once as long as there is trouble."""
        self.trouble = True
        if str(error) not in self._said:
            self._said.add(str(error))
            _log.error("%s", error)

    def works(self) -> None:
        """It was tried after trouble, and works."""
        _log.warning("the database can be used again.")
        self.trouble = False
        self._said.clear()


def write_trial(transaction: Transaction, now: datetime, *, large: bool) -> None:
    """Write a real row.

    Args:
        large: as much as the largest batch of events takes, to see whether trouble is over.
    """
    row = {"tried_at": now, "ballast": _BALLAST if large else b""}
    transaction.session.connection().execute(update(IdentityRow).values(row))
