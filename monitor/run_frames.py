"""The frames that say how a run is, each made once for all who are shown it at the same time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from sqlmodel import Session, col, select

from monitor.frames import RunFrame
from monitor.shapes import RunView
from monitor.stream import Newest
from monitor.tables import RunRow
from monitor.views import run_view

BETWEEN_RUN_FRAMES_SECONDS = 0.25
_KEPT_RUNS = 200
_MOVING = {"silent_seconds", "lease_expires_at", "last_seq", "last_event_at", "progress_at"}
"""Of a run: these alone make no frame."""


@dataclass(frozen=True)
class MadeFrame:
    """A `RunFrame` as JSON, and what tells it from another.

    Args:
        facts: the run without what moves with each event or with the clock.
        taking: of `Newest`, when it was read.
        made_at: on the monotonic clock, in seconds.
    """

    run_id: str
    facts: dict[str, Any]
    text: str
    last_seq: int
    taking: int
    made_at: float


class RunFrames:
    """Makes a run's frame anew where something came of the run since, or time has passed; lives in one event loop.

    Args:
        newest: knows of which runs something came.
        read: `Service.read`.
        now: the monitor's clock.
        clock: a monotonic one, in seconds.
    """

    def __init__(
        self,
        newest: Newest,
        read: Callable[[Callable[[Session], list[RunView]]], Awaitable[list[RunView]]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._newest = newest
        self._read = read
        self._now = now
        self._clock = clock
        self._made: OrderedDict[str, MadeFrame] = OrderedDict()
        self._making = asyncio.Lock()

    async def of(self, run_ids: Sequence[str], seq: int = 0) -> list[MadeFrame]:
        """The frames of the runs that there are, each not older than the event `seq` of its run.

        Raises:
            DatabaseError: they cannot be read.
        """
        async with self._making:  # who comes meanwhile finds them made
            due = [run_id for run_id in run_ids if not self._holds(run_id, seq)]
            if due:
                await self._make(due)
            found = [self._made[run_id] for run_id in run_ids if run_id in self._made]
            while len(self._made) > _KEPT_RUNS:
                self._made.popitem(last=False)
            return found

    def _holds(self, run_id: str, seq: int) -> bool:
        made = self._made.get(run_id)
        return (
            made is not None
            and made.last_seq >= seq
            and made.taking == self._newest.taking_of(run_id)
            and self._clock() - made.made_at < BETWEEN_RUN_FRAMES_SECONDS
        )

    async def _make(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._made.pop(run_id, None)
        takings = {run_id: self._newest.taking_of(run_id) for run_id in run_ids}
        now, made_at = self._now(), self._clock()

        def views(session: Session) -> list[RunView]:
            rows = session.exec(select(RunRow).where(col(RunRow.run_id).in_(run_ids)))
            return [run_view(row, now) for row in rows]

        for run in await self._read(views):
            text = RunFrame(now=now, run=run).model_dump_json()
            self._made[run.run_id] = MadeFrame(
                run.run_id, run.model_dump(exclude=_MOVING), text, run.last_seq, takings[run.run_id], made_at
            )
