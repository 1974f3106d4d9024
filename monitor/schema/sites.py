"""What the run sees of sites that are elsewhere, and what it does not believe them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.schema.base import LARGEST, EventBase, Reason, Task


class SiteSeen(EventBase):
    """Where a site is between answers, as run and SuperLink see it: looked at every few seconds, said on change.

    A stock SuperLink cannot tell that a message was fetched: there a site is `asked` until it answers.
    """

    type: Literal["site_seen"] = "site_seen"
    status: Literal["online", "offline"]
    at: Literal["idle", "asked", "fetched", "answering"]
    """Nothing is wanted of it; its message waits for it; it has it and works; a part of its answer is here."""
    task: Task | None = None
    """That it is asked for; `None` where it is idle."""


class EventsDropped(EventBase):
    """Events that a site has sent and that are not its own to say: none is in the log."""

    type: Literal["events_dropped"] = "events_dropped"
    status: Literal["dropped"] = "dropped"
    task: Task
    count: int = Field(ge=1, le=LARGEST)
    """In this answer."""
    reason: Reason
    """Why the first of them was."""
