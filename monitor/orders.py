"""Commands and claims: what moves a run beside its own events, and the history of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from monitor.control import (
    ACTIVE,
    ENDED,
    Command,
    Control,
    State,
    claimed,
    commanded,
    refusal,
)
from monitor.errors import MonitorError
from monitor.tables import CommandRow, RunRow
from monitor.writer import Transaction

_EFFECT = {
    Command.PAUSE: {State.PAUSED},
    Command.RESUME: {State.RUNNING},
    Command.STOP: {State.STOPPED},
}


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


def control_of(run: RunRow) -> Control:
    """Where a run is."""
    before_lost = None if run.before_lost is None else State(run.before_lost)
    return Control(State(run.state), run.attempt, run.claimable, before_lost)


def set_control(run: RunRow, control: Control) -> None:
    """Write down where a run is now."""
    run.state, run.attempt, run.claimable = control.state.value, control.attempt, control.claimable
    run.before_lost = None if control.before_lost is None else control.before_lost.value


def require_run(session: Session, run_id: str) -> RunRow:
    """The run, or `UnknownRunError`."""
    run = session.get(RunRow, run_id)
    if run is None:
        raise UnknownRunError(f"there is no run {run_id!r} here.", remedy="GET /api/runs lists those that are.")
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
    for earlier in _unsettled(session, run.run_id):
        earlier.outcome = "superseded"
    row = CommandRow(
        command_id=order.command_id,
        run_id=order.run_id,
        command=order.command.value,
        given_by=order.given_by,
        attempt=after.attempt,
        requested_at=now,
    )
    session.add(row)
    session.flush()
    set_control(run, after)
    transaction.announce_change(run.run_id)
    if after.claimable:
        _release(run)
    settle(session, run, after, run.round, now)
    return row


def settle(session: Session, run: RunRow, control: Control, round_number: int, now: datetime) -> None:
    """Note in the history of commands what a new state means for those that are under way."""
    for command in _unsettled(session, run.run_id):
        if control.state in _EFFECT[Command(command.command)]:
            command.outcome, command.effective_at, command.effective_round = "effective", now, round_number
        elif control.state in ENDED:
            command.outcome = control.state.value


def _unsettled(session: Session, run_id: str) -> Sequence[CommandRow]:
    query = select(CommandRow).where(CommandRow.run_id == run_id, col(CommandRow.outcome).is_(None))
    return session.exec(query).all()


def acknowledge(transaction: Transaction, run_id: str, attempt: int, now: datetime) -> None:
    """Note that the run has been told of every command that is under way; a process of another attempt is not it."""
    if require_run(transaction.session, run_id).attempt == attempt:
        for command in _unsettled(transaction.session, run_id):
            command.acknowledged_at = command.acknowledged_at or now


def overtake(session: Session, run: RunRow) -> None:
    """A later attempt goes on with a run: who had the former has it no longer, and what it was told is void."""
    _release(run)
    for command in _unsettled(session, run.run_id):
        command.outcome = "superseded"


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
    set_control(run, after)
    transaction.announce_change(run_id)  # an earlier attempt of it is to end
    run.lease_id, run.leased_by, run.claimant_url = uuid.uuid4().hex, claimant, url
    run.lease_expires_at = now + timedelta(seconds=seconds)
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
    if control.state is State.LOST:
        set_control(run, Control(control.before_lost or State.RUNNING, control.attempt))
    run.lease_expires_at = now + timedelta(seconds=seconds)
    return run


def _release(run: RunRow) -> None:
    run.lease_id, run.leased_by, run.lease_expires_at = None, None, None
