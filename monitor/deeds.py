"""What a monitor has to say once a run has moved: which commands came to pass, who has it no more, that it is back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monitor.control import ACTIVE, ENDED, Command, Control, State
from monitor.reducer import CommandFacts
from monitor.schema import CommandGiven, CommandSettled, Deed, EventBase, LeaseEnded, RunBack, RunClaimed

Said = tuple[type[Deed], dict[str, Any]]
"""A deed that is to be recorded, and its own fields."""

_EFFECT = {
    Command.PAUSE: {State.PAUSED},
    Command.RESUME: {State.RUNNING},
    Command.STOP: {State.STOPPED},
}


def consequences(
    cause: EventBase,
    before: Control,
    after: Control,
    *,
    claimed_by: str | None,
    round_number: int,
    unsettled: Sequence[CommandFacts],
) -> Iterator[Said]:
    """What follows from an event that moved its run from one place to another, or that gave it a command.

    Args:
        claimed_by: who has the run.
        round_number: of the run, or of the event that is about one.
        unsettled: the commands that are under way, the one just given included.
    """
    if after.attempt > before.attempt and claimed_by is not None and not isinstance(cause, RunClaimed):
        yield LeaseEnded, {"status": "released", "claimed_by": claimed_by}
    if before.state is State.LOST and _goes_on(before, after) and not isinstance(cause, RunBack):
        yield RunBack, {}
    given = cause.command_id if isinstance(cause, CommandGiven) else None
    for command in unsettled:
        outcome = _outcome(command, before, after, given)
        if outcome is not None:
            fields = {"status": outcome, "command_id": command.command_id, "command": command.command.value}
            yield CommandSettled, fields | ({"effective_round": round_number} if outcome == "effective" else {})


def _goes_on(before: Control, after: Control) -> bool:
    return after.attempt == before.attempt and after.state in ACTIVE | {State.REQUESTED}


def _outcome(command: CommandFacts, before: Control, after: Control, given: str | None) -> str | None:
    """What became of a command that was under way; `None` while it still is."""
    if command.command_id != given and (given is not None or after.attempt > before.attempt):
        return "superseded"
    if after.closing is not None:
        return None
    if before.closing == "stop":
        return "effective"
    if after.state in _EFFECT[command.command]:
        return "effective"
    return after.state.value if after.state in ENDED else None
