"""What Dagster offers to carry out, held at the monitor for as long as its sensor is evaluated."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

from fedforge_runtime.runs.offer import ClaimantDefaults
from fedforge_runtime.runs.offering import Offering
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.monitor_client import MonitorAddress
from fedforge_runtime.telemetry.reach import MonitorReach

_SECONDS = 60.0
"""Without an evaluation Dagster's daemon is gone, and nobody would take up what is asked for."""
_FIRST_SECONDS = 5.0
"""That an evaluation waits for the first offer to be held: without one nothing is given out."""
_logger = logging.getLogger(__name__)


class HeldOffer:
    """One offer of a code server, beside its sensor's evaluations, which are short and have a time limit."""

    def __init__(self) -> None:
        self.name = f"Dagster on {socket.gethostname()}"
        """As whom Dagster offers; each of its runs claims under its own name."""
        self._lock = threading.Lock()
        self._offering: Offering | None = None
        self._of: tuple[MonitorAddress, Path, ClaimantDefaults, bool] | None = None
        self._end: threading.Timer | None = None

    def keep(self, address: MonitorAddress, home: Home, defaults: ClaimantDefaults, *, checks: bool) -> None:
        """Offer, and answer checks where that is wanted, until this is not called for a minute."""
        with self._lock:
            of = (address, home.root, defaults, checks)
            if self._offering is None or self._of != of or not self._offering.is_at_work:
                self._give_up()
                reach = MonitorReach(address, _logger.warning, meanwhile="What Dagster offers is told again.")
                self._of, self._offering = of, Offering(reach, self.name, defaults, home, checks=checks)
                self._offering.__enter__()
            offering = self._offering
            if self._end is not None:
                self._end.cancel()
            self._end = threading.Timer(_SECONDS, self.end)
            self._end.daemon = True
            self._end.start()
        offering.offered.wait(_FIRST_SECONDS)

    def end(self) -> None:
        """Withdraw the offer."""
        with self._lock:
            if self._end is not None:
                self._end.cancel()
            self._give_up()

    def _give_up(self) -> None:
        offering, self._offering, self._of = self._offering, None, None
        if offering is not None:
            offering.__exit__(None, None, None)


HELD_OFFER = HeldOffer()
"""A code server has one: its sensor is evaluated in whatever thread Dagster has free."""
