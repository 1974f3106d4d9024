"""Tells an operator once when a monitor cannot be reached, and once when it can be again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import AskError, sentences
from fedforge_runtime.telemetry.monitor_client import MonitorAddress
from fedforge_runtime.wording import rough_duration


class MonitorReach:
    """Several threads of a process ask one monitor; what they meet is one outage to whoever reads of it.

    Args:
        say: told at the beginning of an outage, when its cause becomes another, and at its end.
        meanwhile: what goes on without the monitor, as a sentence.
    """

    def __init__(self, address: MonitorAddress, say: Callable[[str], None], *, meanwhile: str) -> None:
        self.address = address
        self.say = say
        self._meanwhile = meanwhile
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._since: datetime | None = None
        self._said: set[int | None] = set()
        """Statuses of HTTP that were named in this outage; `None` where there was no answer."""

    def failed(self, purpose: str, error: AskError) -> None:
        """What was asked for a purpose was not answered."""
        with self._lock:
            self._failing.add(purpose)
            if self._since is None:
                self._since, self._said = utc_now(), {error.status}
                since = f"{self._since:%H:%M:%S} UTC"
                outage = f"monitor {self.address.url} unreachable since {since}, because {error.cause}"
                self.say(sentences(outage, self._meanwhile))
            elif error.status not in self._said:
                self._said.add(error.status)
                since = f"{self._since:%H:%M:%S} UTC"
                self.say(f"monitor {self.address.url} still unreachable since {since}, now because {error.cause}.")

    def answered(self, purpose: str) -> None:
        """What is asked for a purpose is answered; the outage is over once that holds for every purpose."""
        with self._lock:
            self._failing.discard(purpose)
            if self._since is not None and not self._failing:
                seconds = (utc_now() - self._since).total_seconds()
                self._since = None
                self.say(f"monitor {self.address.url} reachable again after {rough_duration(max(0.0, seconds))}.")

    def ended(self, purpose: str) -> None:
        """Nothing is asked for a purpose any more, whether it was answered or not."""
        with self._lock:
            self._failing.discard(purpose)
