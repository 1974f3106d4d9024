"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random

LONGEST_ASKED_SECONDS = 10.0
"""What a `Retry-After` may ask of us: a run that says nothing for longer would soon be taken for lost."""


class Backoff:
    """Twice as long after each failure, up to a limit, and never the same for two who failed together.

    Args:
        first: seconds after the first failure.
        longest: seconds that are never exceeded, unless the other side asks for more.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._delay = first

    def after_failure(self, asked: float | None = None) -> float:
        """The seconds to wait now.

        Args:
            asked: what the other side wants, honoured up to `LONGEST_ASKED_SECONDS`.
        """
        delay = self._delay * random.uniform(0.5, 1)
        self._delay = min(2 * self._delay, self._longest)
        return max(delay, min(asked or 0.0, LONGEST_ASKED_SECONDS))

    def reset(self) -> None:
        """It has worked."""
        self._delay = self._first
