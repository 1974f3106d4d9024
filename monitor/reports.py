"""The pages that runs and audits have written about themselves, as they were sent here or lie in this home."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlmodel import Session

from monitor.errors import MonitorError
from monitor.tables import ReportRow
from monitor.writer import Transaction

RUN, AUDIT = "run", "audit"


class ReportError(MonitorError):
    """It is not what was announced."""


def keep_report(transaction: Transaction, kind: str, key: str, body: bytes, sha256: str, now: datetime) -> None:
    """Keep a page in place of the former one of its subject.

    Args:
        sha256: of the bytes, as whoever sent them has counted.

    Raises:
        ReportError: they are others.
    """
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise ReportError(
            f"what came is not what was announced: {len(body):,} bytes with SHA-256 {found}.", remedy="Send it again."
        )
    row = ReportRow(kind=kind, key=key, sha256=found, received_at=now, body=body)
    transaction.session.merge(row)


def sent_report(session: Session, kind: str, key: str) -> ReportRow | None:
    """The page that was sent here; `None` where none was."""
    return session.get(ReportRow, (kind, key))
