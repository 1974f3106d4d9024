"""Questions to claimants before anything is asked for: is it valid, who would hold what, how long will it take."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import Field

from monitor.errors import MonitorError
from monitor.offers import Offers, Text, objection, objection_of
from monitor.schema import NO_TRUTH, Number, Person, RunRequest
from monitor.shapes import Shape

_MOST_WAITING = 20
Count = Annotated[int, Field(ge=0, le=2**53 - 1), NO_TRUTH]


class CheckRequest(Shape):
    """The request that somebody thinks of making."""

    request: RunRequest


class CheckTask(Shape):
    """A question for a claimant."""

    check_id: str
    request: RunRequest


class NextCheck(Shape):
    """What a claimant is to answer."""

    check: CheckTask | None
    """`null` where nobody has asked meanwhile."""


class SiteHolding(Shape):
    """What a site would hold."""

    site: Count
    rows: Count
    class_rows: Annotated[list[Count], Field(max_length=1000)]
    """In the order of `class_names`."""


class CheckAnswer(Shape):
    """What a claimant says of a request."""

    valid: bool
    error: Text | None = None
    """Why it is not, in the words that the run would fail with."""
    class_names: list[Text] = Field(default_factory=list, max_length=1000)
    sites: list[SiteHolding] = Field(default_factory=list, max_length=10_000)
    """None where the sites bring their own data, or the images are not here yet: a warning says which."""
    warnings: list[Text] = Field(default_factory=list, max_length=1000)
    seconds: Annotated[Number, Field(ge=0)] | None = None
    """Estimated, of the whole run; `null` where the claimant cannot know."""


class CheckView(Shape):
    """What is known of a request."""

    answer: CheckAnswer | None
    claimant: Person | None
    """Who has answered; `null` where the monitor itself knows that no offer takes it, or nobody has."""
    missing: str | None
    """Who is missing, where nobody has answered."""


class Answered(Shape):
    """What became of an answer."""

    waited_for: bool
    """`false` where nobody waits for it any more."""


class CheckError(MonitorError):
    """Too many questions wait, or one who offers no answers asks for them."""


@dataclass
class _Asked:
    task: CheckTask
    taken_by: str | None = None
    answer: CheckAnswer | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """It is answered, or the monitor ends."""


class Checks:
    """The questions that are under way; lives in one event loop.

    Args:
        offers: of those who may be asked.
        now: the monitor's clock.
    """

    def __init__(self, offers: Offers, now: Callable[[], datetime]) -> None:
        self._offers = offers
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, _Asked] = {}
        self._news = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        """Have everybody who waits come back: the monitor ends. May be called in any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        self._announce()
        for asked in self._asked.values():
            asked.over.set()

    async def ask(self, request: RunRequest, seconds: float) -> CheckView:
        """What a claimant says of a request, who has so many seconds; or why nobody says anything.

        Raises:
            CheckError: too many wait for an answer.
        """
        living = self._offers.living(self._now())
        if reason := objection(living, request, by_browser=False):
            return CheckView(answer=CheckAnswer(valid=False, error=reason[:2000]), claimant=None, missing=None)
        if not living:
            return _unanswered("no claimant is there. Start one: fedforge agent")
        able = [view.claimant for view in living if view.offer.checks and objection_of(view.offer, request) is None]
        if not able:
            return _unanswered(f"{', '.join(view.claimant for view in living)} cannot be asked. Start: fedforge agent")
        if len(self._asked) >= _MOST_WAITING:
            raise CheckError(f"{_MOST_WAITING} requests are being checked already.", remedy="Ask again later.")
        asked = _Asked(CheckTask(check_id=uuid.uuid4().hex, request=request))
        self._asked[asked.task.check_id] = asked
        try:
            self._announce()
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.over.wait(), seconds)
        finally:
            del self._asked[asked.task.check_id]
        if asked.answer is not None:
            return CheckView(answer=asked.answer, claimant=asked.taken_by, missing=None)
        if self._ended:
            return _unanswered("the monitor ends.")
        if asked.taken_by is not None:
            return _unanswered(f"{asked.taken_by} has not answered within {seconds:g} s.")
        return _unanswered(f"{', '.join(able)} did not ask for it within {seconds:g} s.")

    async def next(self, claimant: str, seconds: float) -> CheckTask | None:
        """The next question for a claimant, at the latest after so many seconds `None`.

        Raises:
            CheckError: he holds no offer to answer any.
        """
        until = self._loop.time() + seconds
        while True:
            news = self._news
            asked = self._first_for(claimant)
            if asked is not None:
                asked.taken_by = claimant
                return asked.task
            left = until - self._loop.time()
            if left <= 0 or self._ended:
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)

    def _first_for(self, claimant: str) -> _Asked | None:
        offer = next((view.offer for view in self._offers.living(self._now()) if view.claimant == claimant), None)
        if offer is None or not offer.checks:
            raise CheckError(
                f"{claimant} holds no offer to answer checks.",
                remedy="Hold one first that says that it does.",
            )
        waiting = (asked for asked in self._asked.values() if asked.taken_by is None)
        return next((asked for asked in waiting if objection_of(offer, asked.task.request) is None), None)

    def answer(self, check_id: str, answer: CheckAnswer) -> bool:
        """Give an answer to whoever waits for it; returns whether somebody does."""
        asked = self._asked.get(check_id)
        if asked is None or asked.over.is_set():
            return False
        asked.answer = answer
        asked.over.set()
        return True

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _unanswered(missing: str) -> CheckView:
    return CheckView(answer=None, claimant=None, missing=missing)
