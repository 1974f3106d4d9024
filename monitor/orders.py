"""Commands and claims: what moves a run beside its own events. Each is recorded as a deed, and that moves the run."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from monitor.control import ACTIVE, Command, State, claimed, commanded, refusal
from monitor.errors import MonitorError
from monitor.recording import recording
from monitor.rows import control_of
from monitor.schema import CommandAcknowledged, CommandGiven, RunBack, RunClaimed
from monitor.tables import CommandRow, RunRow
from monitor.writer import Transaction


class UnknownRunError(MonitorError):
    """There is no run of that name."""


class ConflictError(MonitorError):
    """It cannot be done in the state that the run is in, or was done by somebody else.

    Args:
        state: the state of the run.
        allowed: the commands that are legal now.
    """

    def __init__(self, message: str, *, state: State, allowed: Sequence[Command], remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.state = state
        self.allowed = list(allowed)


@dataclass(frozen=True)
class Order:
    """A command as it was given.

    Args:
        command_id: idempotency key: the same order given twice is carried out once.
    """

    command_id: str
    run_id: str
    command: Command
    given_by: str


def require_run(session: Session, run_id: str) -> RunRow:
    """The run, or `UnknownRunError`."""
    run = session.get(RunRow, run_id)
    if run is None:
        raise UnknownRunError(f"there is no run {run_id!r} here.", remedy="The table of runs has those that are.")
    return run


def give(transaction: Transaction, order: Order, now: datetime) -> CommandRow:
    """Carry out a command, once.

    Raises:
        UnknownRunError: there is no such run.
        ConflictError: it is not legal now, or its key belongs to another command.
    """
    session = transaction.session
    run = require_run(session, order.run_id)
    before = control_of(run)
    given = session.get(CommandRow, order.command_id)
    if given is not None:
        if (given.run_id, given.command) == (order.run_id, order.command.value):
            return given
        raise ConflictError(
            f"the command id {order.command_id!r} was used for: {given.command} of {given.run_id}.",
            state=before.state,
            allowed=before.allowed,
            remedy="Give each command an id of its own.",
        )
    after = commanded(before, order.command)
    if after is None:
        raise ConflictError(refusal(before, order.command), state=before.state, allowed=before.allowed)
    with recording(transaction, run.run_id, now) as record:
        record.do(
            CommandGiven,
            attempt=after.attempt,
            command_id=order.command_id,
            command=order.command.value,
            given_by=order.given_by,
        )
    row = session.get(CommandRow, order.command_id)
    assert row is not None
    return row


def acknowledge(transaction: Transaction, run_id: str, attempt: int, now: datetime) -> None:
    """Note that the run has been told of every command that is under way; a process of another attempt is not it."""
    if require_run(transaction.session, run_id).attempt != attempt:
        return
    untold = select(CommandRow).where(
        CommandRow.run_id == run_id, col(CommandRow.outcome).is_(None), col(CommandRow.acknowledged_at).is_(None)
    )
    commands = transaction.session.exec(untold.order_by(col(CommandRow.requested_at))).all()
    if commands:
        with recording(transaction, run_id, now) as record:
            for command in commands:
                record.do(CommandAcknowledged, command_id=command.command_id, command=command.command)


def claim(
    transaction: Transaction, run_id: str, claimant: str, url: str | None, seconds: float, now: datetime
) -> RunRow:
    """Give the run to one claimant, who has it until the lease expires.

    Args:
        url: where the claimant shows what it does.

    Raises:
        UnknownRunError: there is no such run.
        ConflictError: nobody is waited for.
    """
    run = require_run(transaction.session, run_id)
    before = control_of(run)
    after = claimed(before)
    if after is None:
        holder = f" {run.leased_by} has it." if run.leased_by else ""
        raise ConflictError(
            f"the run {run_id!r} is {before.state} and waits for nobody.{holder}",
            state=before.state,
            allowed=before.allowed,
        )
    with recording(transaction, run_id, now) as record:
        record.do(RunClaimed, attempt=after.attempt, claimed_by=claimant, url=url)
    run.lease_id, run.lease_expires_at = uuid.uuid4().hex, now + timedelta(seconds=seconds)
    return run


def renew(transaction: Transaction, run_id: str, lease_id: str, seconds: float, now: datetime) -> RunRow:
    """Go on having a run.

    Raises:
        UnknownRunError: there is no such run.
        ConflictError: it is another's, or the run has ended.
    """
    run = require_run(transaction.session, run_id)
    control = control_of(run)
    if run.lease_id != lease_id or control.claimable or control.state not in ACTIVE | {State.LOST}:
        raise ConflictError(
            f"the lease on {run_id!r} is over: the run is {control.state}.",
            state=control.state,
            allowed=control.allowed,
            remedy="End the process that was started for it.",
        )
    with recording(transaction, run_id, now) as record:
        if control.state is State.LOST:
            record.do(RunBack)
        if run.lease_over:
            record.do(RunClaimed, claimed_by=run.leased_by, url=run.claimant_url)
    run.lease_expires_at = now + timedelta(seconds=seconds)
    return run
