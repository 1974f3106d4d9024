"""Runs of which nothing is heard any more, as far as the monitor was there to hear it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import col, or_, select

from monitor.control import HEARD, silenced
from monitor.recording import recording
from monitor.rows import control_of
from monitor.schema import LeaseEnded, RunLost
from monitor.tables import RunRow
from monitor.writer import Transaction

_LONGEST_GAP = timedelta(seconds=5)


class Listening:
    """Since when the monitor has listened without a gap.

    A process that slept with its machine, was held, or whose clock was set has heard nothing meanwhile and does not
    know for how long, so that a run's silence counts from then on.
    """

    def __init__(self, now: datetime) -> None:
        self._since = self._last = now

    def since(self, now: datetime) -> datetime:
        """Asked every second or so: nothing could be heard before that moment."""
        if not timedelta(0) <= now - self._last <= _LONGEST_GAP:
            self._since = now
        self._last = now
        return self._since


def declare_lost(
    transaction: Transaction, silence: timedelta, lease: timedelta, since: datetime, now: datetime
) -> None:
    """Note leases that were not renewed, and declare lost what has been silent for too long.

    Silent is a run of which neither an event nor a claimant's heartbeat has come.

    Moments in the future are those of a clock that was set back, and count for nothing.

    Args:
        silence: how long is too long.
        lease: how long a claimant has a run at a time.
        since: nothing could be heard before.
    """
    heard_of = [state.value for state in HEARD]
    speaking = select(RunRow).where(or_(col(RunRow.state).in_(heard_of), col(RunRow.closing).is_not(None)))
    for run in transaction.session.exec(speaking).all():
        moments = [since, run.created_at, run.last_event_at]
        heard = max(moment for moment in moments if moment is not None and moment <= now)
        leased = run.lease_expires_at is not None and now <= run.lease_expires_at <= now + lease
        before = control_of(run)
        closing = before.closing is not None
        lapsed = run.lease_id is not None and not (leased or run.lease_over or closing) and now - since > lease
        quiet = now - heard > silence and (closing or not leased)
        after = silenced(before, leased=run.lease_id is not None) if quiet else before
        if lapsed or after != before:
            with recording(transaction, run.run_id, now) as record:
                if lapsed:
                    record.do(LeaseEnded, status="expired", claimed_by=run.leased_by)
                if after != before:
                    record.do(RunLost, claimable=after.claimable, silent_seconds=(now - heard).total_seconds())
