"""Live events for readers: the newest of each run in memory, the rest from the database; ingest waits for no reader."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from weakref import WeakValueDictionary

from monitor.stored import StoredEvent

_KEPT_A_RUN = 2000
_KEPT_RUNS = 16
_NOTED_RUNS = 1000
_KEPT_FRAMES = 8
ALL_RUNS = ""
"""In place of a run: any."""


class Newest:
    """The newest events of the runs that are active, and a way to wait for more; lives in one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: OrderedDict[str, deque[StoredEvent]] = OrderedDict()
        self._news: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # as long as somebody waits
        self._takings = 0
        self._latest: OrderedDict[str, int] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int, datetime, int], str] = OrderedDict()
        self._ending = asyncio.Event()
        self.ended = False
        """The monitor ends: whoever waits is to go."""

    def end(self) -> None:
        """Have everybody who waits come back; may be called in any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.ended = True
        self._ending.set()
        for news in list(self._news.values()):
            news.set()

    def announce(self, events: Sequence[StoredEvent]) -> None:
        """Take in what was written; may be called in any thread."""
        with suppress(RuntimeError):  # the loop has ended: nobody reads any more
            self._loop.call_soon_threadsafe(self._take, events)

    def _take(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            kept = self._events.setdefault(event.run_id, deque(maxlen=_KEPT_A_RUN))
            if kept and event.seq <= kept[-1].seq:  # the run was pruned, and is loaded again
                kept.clear()
            kept.append(event)
        self._takings += 1
        fresh = {event.run_id for event in events}
        for run_id in fresh:
            self._events.move_to_end(run_id)
            self._latest[run_id] = self._takings
            self._latest.move_to_end(run_id)
        for name in (*fresh, ALL_RUNS):
            if news := self._news.pop(name, None):
                news.set()
        while len(self._latest) > _NOTED_RUNS:
            self._latest.popitem(last=False)
        while len(self._events) > _KEPT_RUNS:
            self._events.popitem(last=False)

    def after(self, run_id: str, seq: int) -> list[StoredEvent] | None:
        """The events after `seq`; `None` where the first of them is no longer, or not yet, kept here."""
        kept = self._events.get(run_id)
        if not kept or kept[0].seq > seq + 1:
            return None
        return _from_end(kept, seq)

    def runs_since(self, taking: int) -> tuple[list[str], int]:
        """The runs of which something came since a taking, and the number of the last one."""
        recent = [run_id for run_id, latest in self._latest.items() if latest > taking]
        return recent, self._takings

    def taking_of(self, run_id: str) -> int:
        """The number of the last taking that something of a run came with; 0 where none is noted."""
        return self._latest.get(run_id, 0)

    def news(self, run_id: str) -> asyncio.Event:
        """Set by the next news of a run, or of `ALL_RUNS`: ask before looking at what is there, and wait after."""
        news = self._news.get(run_id)
        if news is None:
            news = self._news[run_id] = asyncio.Event()
        return news

    async def wait(self, news: asyncio.Event, seconds: float) -> None:
        """Return with the news, at the latest after so many seconds."""
        if not self.ended:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), seconds)

    def frame(self, events: Sequence[StoredEvent]) -> str:
        """`EventsFrame`, of events that are JSON already; made once for all who are as far."""
        first, last = events[0], events[-1]
        name = (first.run_id, first.seq, first.received_at, last.seq)
        text = self._frames.get(name)
        if text is None:
            text = self._frames[name] = f'{{"type":"events","events":[{",".join(each.to_json() for each in events)}]}}'
            while len(self._frames) > _KEPT_FRAMES:
                self._frames.popitem(last=False)
        return text

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds, at once where the monitor ends."""
        if not self.ended:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), seconds)


def _from_end(kept: deque[StoredEvent], seq: int) -> list[StoredEvent]:
    found = []
    for event in reversed(kept):
        if event.seq <= seq:
            break
        found.append(event)
    return found[::-1]
