"""What a monitor itself does with a run: commands, claims, and what it makes of silence.

Its own deeds move the run as they are recorded. Those in a log that is imported were another monitor's, or were said
before the run was forgotten: they are history, and move nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.schema.base import LARGEST, EventBase, Identifier, Number

CommandName = Literal["pause", "resume", "stop"]
Person = Annotated[str, Field(min_length=1, max_length=200)]
Link = Annotated[str, Field(max_length=2000, pattern=r"^https?://\S+$")]


class Deed(EventBase):
    """A monitor says it, of the node `monitor`; its round is 0."""


class CommandGiven(Deed):
    """Somebody asked for it, and it was legal."""

    type: Literal["command_given"] = "command_given"
    status: Literal["requested"] = "requested"
    command_id: Identifier
    command: CommandName
    given_by: Person


class CommandAcknowledged(Deed):
    """A process of the run has asked, and was told."""

    type: Literal["command_acknowledged"] = "command_acknowledged"
    status: Literal["acknowledged"] = "acknowledged"
    command_id: Identifier
    command: CommandName


class CommandSettled(Deed):
    """It came to pass, or never will: another took its place, or the run ended in another way."""

    type: Literal["command_settled"] = "command_settled"
    status: Literal["effective", "superseded", "stopped", "completed", "failed", "lost"]
    command_id: Identifier
    command: CommandName
    effective_round: int | None = Field(default=None, ge=0, le=LARGEST)
    """At which it came to pass; `null` where it did not."""


class RunClaimed(Deed):
    """Somebody carries the run out."""

    type: Literal["run_claimed"] = "run_claimed"
    status: Literal["claimed"] = "claimed"
    claimed_by: Person
    url: Link | None = None
    """Where the claimant shows what it does."""


class LeaseEnded(Deed):
    """Who had claimed the run has it no more: it was given up for another attempt, or not renewed in time."""

    type: Literal["lease_ended"] = "lease_ended"
    status: Literal["released", "expired"]
    claimed_by: Person


class RunLost(Deed):
    """Neither an event nor a claimant's heartbeat has come for too long."""

    type: Literal["run_lost"] = "run_lost"
    status: Literal["lost"] = "lost"
    claimable: bool
    """Somebody is waited for who starts it again."""
    silent_seconds: Number = Field(ge=0)


class RunBack(Deed):
    """Something was heard of a run that was lost."""

    type: Literal["run_back"] = "run_back"
    status: Literal["back"] = "back"
