"""The states of a run and what moves it from one to the next: one table, pure functions, and no storage.

Three kinds of trigger meet here: commands of an operator, events of the run, and what the monitor itself notices
(silence; a claim, which `claimed` deals with). A pair that is not in the table leaves the state as it is; for a
command that means that it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from monitor.schema import EventBase, StageProgress

Desired = Literal["run", "pause", "stop"]


class State(StrEnum):
    """What a run is doing."""

    REQUESTED = "requested"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"


class Command(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class Notice(StrEnum):
    """What the run says of itself by its events, and its silence."""

    STARTED = "run_started"
    PAUSED = "run_paused"
    RESUMED = "run_resumed"
    STOPPED = "run_stopped"
    COMPLETED = "run_completed"
    FAILED = "run_failed"
    CLOSING = "closing"
    """What comes after the model is being made: bounds, the report."""
    CLOSED = "closed"
    """It is made, or given up."""
    ALIVE = "alive"
    """Any other event."""
    SILENT = "silent"
    """Neither an event nor a claimant's heartbeat for too long."""


Trigger = Command | Notice

_S = State
_LIVE = (_S.STARTING, _S.RUNNING, _S.PAUSING, _S.PAUSED, _S.RESUMING, _S.STOPPING)
_ENDS = {Notice.STOPPED: _S.STOPPED, Notice.COMPLETED: _S.COMPLETED, Notice.FAILED: _S.FAILED}

TABLE: Mapping[tuple[State, Trigger], State] = {
    # An end that the run reports is an end, whatever was asked for meanwhile.
    **{(state, notice): end for state in (_S.REQUESTED, *_LIVE, _S.LOST) for notice, end in _ENDS.items()},
    **{(state, Notice.SILENT): _S.LOST for state in (_S.REQUESTED, *_LIVE)},
    (_S.REQUESTED, Notice.STARTED): _S.RUNNING,
    (_S.REQUESTED, Command.STOP): _S.STOPPED,
    (_S.STARTING, Notice.STARTED): _S.RUNNING,
    (_S.STARTING, Command.STOP): _S.STOPPING,
    (_S.RUNNING, Command.PAUSE): _S.PAUSING,
    (_S.RUNNING, Command.STOP): _S.STOPPING,
    (_S.RUNNING, Notice.PAUSED): _S.RESUMING,  # the pause came to pass when it was already withdrawn
    (_S.PAUSING, Notice.PAUSED): _S.PAUSED,
    (_S.PAUSING, Command.RESUME): _S.RUNNING,
    (_S.PAUSING, Command.STOP): _S.STOPPING,
    (_S.PAUSED, Command.RESUME): _S.RESUMING,
    (_S.PAUSED, Command.STOP): _S.STOPPING,
    (_S.PAUSED, Notice.RESUMED): _S.RUNNING,
    (_S.RESUMING, Notice.RESUMED): _S.RUNNING,
    (_S.RESUMING, Notice.STARTED): _S.RUNNING,
    (_S.RESUMING, Command.PAUSE): _S.PAUSING,
    (_S.RESUMING, Command.STOP): _S.STOPPING,
    (_S.STOPPED, Command.RESUME): _S.RESUMING,
    (_S.FAILED, Command.RESUME): _S.RESUMING,
    (_S.LOST, Command.RESUME): _S.RESUMING,
    (_S.LOST, Command.STOP): _S.STOPPED,  # nothing is there that could be asked to
}

DESIRED: Mapping[State, Desired] = {
    **dict.fromkeys(State, "run"),
    _S.PAUSING: "pause",
    _S.PAUSED: "pause",
    _S.STOPPING: "stop",
    _S.STOPPED: "stop",
}
"""What the run is told when it asks."""

ACTIVE = frozenset(_LIVE)
"""States in which a process of the run is expected to be there."""

HEARD = frozenset(state for state, trigger in TABLE if trigger is Notice.SILENT)
"""States in which something is heard of the run, unless somebody is still waited for who starts it."""

ENDED = frozenset({_S.STOPPED, _S.COMPLETED, _S.FAILED, _S.LOST})
"""States in which no process of the run is expected any more."""

RELAUNCHED = frozenset({_S.STOPPED, _S.FAILED, _S.LOST})
"""States that `resume` leaves by a new attempt, which somebody must claim."""


@dataclass(frozen=True)
class Control:
    """Where a run is.

    Args:
        state: what it is doing.
        attempt: 1 for the first start, one more for each relaunch.
        claimable: a claimant is waited for who starts the attempt.
        before_lost: the state that a heartbeat leads back to; only in `lost`.
        closing: what is wanted of what a completed run still makes, bounds and report; `None` where it makes nothing.
    """

    state: State = State.REQUESTED
    attempt: int = 1
    claimable: bool = False
    before_lost: State | None = None
    closing: Desired | None = None

    @property
    def allowed(self) -> list[Command]:
        """The commands that are legal now."""
        return [command for command in Command if commanded(self, command) is not None]


def desired(control: Control, attempt: int) -> Desired:
    """What a process of the run's `attempt` is told when it asks.

    One of an earlier attempt has been replaced; one of a later has begun, and the events that say so are on their way.
    """
    if attempt != control.attempt:
        return "stop" if attempt < control.attempt else "run"
    return control.closing or DESIRED[control.state]


def commanded(control: Control, command: Command) -> Control | None:
    """After a command; `None` where it is not legal."""
    if control.closing == "run" and command is Command.STOP:
        return replace(control, closing="stop")
    follows = TABLE.get((control.state, command))
    if follows is None:
        return None
    if command is Command.RESUME and control.state in RELAUNCHED:
        return Control(follows, control.attempt + 1, claimable=True)
    if control.claimable:  # nobody is there yet
        return Control(State.STOPPED, control.attempt) if command is Command.STOP else None
    return Control(follows, control.attempt)


def claimed(control: Control) -> Control | None:
    """After somebody has taken it upon him to start it; `None` where nobody is waited for."""
    if not control.claimable:
        return None
    if control.state is State.LOST:
        return Control(State.RESUMING, control.attempt + 1)
    return Control(State.STARTING if control.state is State.REQUESTED else control.state, control.attempt)


def noticed(control: Control, notice: Notice, attempt: int) -> Control:
    """After an event of the run's `attempt`: one of an earlier attempt changes nothing, a later one is the run now.

    A completed run has no later attempt: its model is final.
    """
    if control.state is State.COMPLETED and attempt == control.attempt and notice in (Notice.CLOSING, Notice.CLOSED):
        return replace(control, closing=(control.closing or "run") if notice is Notice.CLOSING else None)
    if attempt < control.attempt or control.state is State.COMPLETED:
        return control
    if attempt > control.attempt:  # somebody resumed it without asking here
        control = Control(State.RESUMING, attempt)
    follows = TABLE.get((control.state, notice))
    if control.state is State.LOST and follows is None:
        back = control.before_lost or State.RUNNING
        control = Control(back, attempt)
        follows = TABLE.get((back, notice))
    if follows is not None:
        return Control(follows, attempt)
    return replace(control, claimable=False) if control.state in HEARD else control  # somebody has started it


def silenced(control: Control, *, leased: bool) -> Control:
    """After too long a silence.

    Args:
        leased: a claimant had started it, so that another may; what was started by hand is resumed by hand.
    """
    if control.closing is not None:
        return replace(control, closing=None)
    if control.claimable or control.state not in HEARD:
        return control
    goes_on = DESIRED[control.state] == "run"
    return Control(State.LOST, control.attempt, claimable=leased and goes_on, before_lost=control.state)


def stalls(control: Control) -> bool:
    """Whether progress is expected: somebody carries it out, and nobody has it pause."""
    return control.state in HEARD and not control.claimable and DESIRED[control.state] != "pause"


def refusal(control: Control, command: Command) -> str:
    """Why a command is not legal now, for a person."""
    legal = ", ".join(control.allowed)
    reason = "somebody is waited for who starts it" if control.claimable else STATES[control.state]
    return f"cannot {command}: {reason}; " + (f"possible now: {legal}." if legal else "nothing is possible any more.")


STATES: Mapping[State, str] = {
    _S.REQUESTED: "the run has not started yet",
    _S.STARTING: "the run is being started",
    _S.RUNNING: "the run is going on",
    _S.PAUSING: "the run pauses before its next round",
    _S.PAUSED: "the run is paused",
    _S.RESUMING: "the run is being resumed",
    _S.STOPPING: "the run is being stopped",
    _S.STOPPED: "the run is stopped",
    _S.COMPLETED: "the run is completed and its model is final",
    _S.FAILED: "the run has failed",
    _S.LOST: "nothing has been heard of the run for too long",
}
"""What each state means, for a person."""


def notice_of(event: EventBase) -> Notice:
    """What an event says of its run."""
    if isinstance(event, StageProgress):
        return Notice.CLOSING if event.status == "running" else Notice.CLOSED
    kind = getattr(event, "type", "")
    return Notice(kind) if kind in OF_EVENTS else Notice.ALIVE


OF_EVENTS = {notice.value for notice in Notice if notice.value.startswith("run_")}
