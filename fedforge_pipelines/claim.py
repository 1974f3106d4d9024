"""Dagster as a claimant at the monitor: what it offers to carry out, and the runs that it has claimed.

The offer is held for as long as the sensor is evaluated. A run is claimed once, and renewed until it ends.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import AskError, MonitorAwayError, MonitorRefusedError
from fedforge_runtime.processes.background import Background
from fedforge_runtime.runs.attempts import Ending, report_end
from fedforge_runtime.runs.offer import ClaimantDefaults
from fedforge_runtime.runs.offering import Offering
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.answers import Given, Lease, Run
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import ENDED, LOST, MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach
from monitor.schema import RunStopped

_OFFER_SECONDS = 60.0
"""Without an evaluation Dagster's daemon is gone, and nobody would take up what is asked for."""
_FIRST_OFFER_SECONDS = 5.0
"""That an evaluation waits for the first offer to be held: without one nothing is given out."""
_RENEW_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 0.5
_PATIENCE_SECONDS = 30.0
_NOT_DONE = (
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.TOO_EARLY,
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.SERVICE_UNAVAILABLE,
)
_AnswerT = TypeVar("_AnswerT")
_logger = logging.getLogger(__name__)
_OVER = (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT)
_HELD: dict[str, Claim] = {}
"""Claims of this process, by run: the steps of a Dagster run share it."""
_LOCK = threading.Lock()


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
            self._end = threading.Timer(_OFFER_SECONDS, self.end)
            self._end.daemon = True
            self._end.start()
        offering.offered.wait(_FIRST_OFFER_SECONDS)

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


class Claim(Background):
    """The right to carry out one attempt of a run, renewed in the background.

    A stop that is wanted before the federated run is there to hear of it interrupts this process, as Dagster would.

    Args:
        attempt: what the attempt is called; earlier ones are told to stop.
    """

    def __init__(self, address: MonitorAddress, run_id: str, lease_id: str, attempt: int) -> None:
        super().__init__(f"claim-{run_id}", patience=0)
        self._client = MonitorClient(address, emits=True)
        self.attempt = attempt
        self.handed_on = False
        """The federated run has begun: it hears of a stop itself."""
        self._run_id = run_id
        self._path = f"/api/runs/{run_id}/leases/{lease_id}"

    def _work(self) -> None:
        away = Backoff(_RENEW_SECONDS, _LONGEST_RETRY_SECONDS)
        pause = _RENEW_SECONDS
        with self._client as client:
            while not self._ending.wait(pause):
                try:
                    lease = client.ask("POST", self._path, Lease)
                except AskError as error:
                    if isinstance(error, MonitorRefusedError) and error.status in _OVER:
                        return  # it has ended, or was given to somebody else: the run itself is told
                    # It waits a while after its own downtime before it declares anything lost.
                    pause = away.after_failure(error.retry_after)
                else:
                    away.reset()
                    pause = _RENEW_SECONDS
                    if lease["desired"] == "stop" and not self.handed_on:
                        ending = Ending(self._run_id, self.attempt, RunStopped, "stopped before it had begun")
                        report_end(client, ending, emitter_id=emitter_id(self.attempt))
                        os.kill(os.getpid(), signal.SIGINT)
                        return


def claimant_name(dagster_run_id: str) -> str:
    """As whom a Dagster run claims."""
    return f"Dagster run {dagster_run_id[:8]}"


def emitter_id(attempt: int) -> str:
    """As whom this process speaks of an attempt that cannot speak itself."""
    return f"dagster-{os.getpid()}-{attempt}"


def hold(
    address: MonitorAddress,
    run_id: str,
    request: dict[str, Any] | None,
    claimant: dict[str, Any],
    *,
    again: Callable[[int], None] | None = None,
) -> Claim:
    """The claim of this process on a run, taken at the first call.

    Args:
        request: asked for first, where the monitor does not know the run; `None` where it does.
        claimant: who this is: `claimant`, and `url` of a page about it.
        again: another attempt is asked for where the last one has ended; told its number before that.

    Raises:
        MonitorAwayError: see there.
        MonitorRefusedError: the run waits for nobody: it was stopped, is finished, or somebody else has it.
    """
    with _LOCK:
        if run_id not in _HELD:
            with MonitorClient(address) as client:  # whoever starts a run at Dagster is an operator
                if request is not None:
                    asked = {"run_id": run_id, "request": request}
                    _ask_patiently(lambda: client.ask("POST", "/api/runs", Run, json=asked))
                if again is not None:
                    _ask_for_another(client, run_id, str(claimant["claimant"]), again)
                lease = _ask_patiently(lambda: client.ask("POST", f"/api/runs/{run_id}/claim", Lease, json=claimant))
            _HELD[run_id] = Claim(address, run_id, lease["lease_id"], lease["attempt"]).__enter__()
        return _HELD[run_id]


def _ask_for_another(client: MonitorClient, run_id: str, claimant: str, announce: Callable[[int], None]) -> None:
    run = _ask_patiently(lambda: client.ask("GET", f"/api/runs/{run_id}", Run))
    if run["claimable"] or run["state"] not in (*ENDED, LOST):
        return
    announce(run["attempt"] + 1)
    order = {"command": "resume", "given_by": claimant}
    _ask_patiently(lambda: client.ask("POST", f"/api/runs/{run_id}/commands", Given, json=order))


def _ask_patiently(ask: Callable[[], _AnswerT]) -> _AnswerT:
    """Ask again what was surely not done, for a while: a step that fails for that costs a launch of the request."""
    away, until = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS), monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except MonitorAwayError as error:
            pause = away.after_failure(error.retry_after)
            if error.status not in _NOT_DONE or monotonic() + pause > until:
                raise
            time.sleep(pause)


def release(run_id: str) -> None:
    """Renew it no longer: the run has ended, and the monitor knows."""
    with _LOCK:
        claim = _HELD.pop(run_id, None)
    if claim is not None:
        claim.__exit__(None, None, None)
