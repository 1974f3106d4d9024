"""Holds a claimant's offer at a monitor, and answers what is asked of requests, beside a run that it carries out."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.errors import AskError, ConfigError, FedForgeError, MonitorRefusedError
from fedforge_runtime.processes import describe_exit
from fedforge_runtime.processes.background import Background
from fedforge_runtime.processes.child import Child
from fedforge_runtime.runs.offer import ClaimantDefaults, offer_document
from fedforge_runtime.runs.rehearsal import READY
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.answers import Answered, NextCheck, Offered, Run, Runs
from fedforge_runtime.telemetry.backoff import Backoff
from fedforge_runtime.telemetry.monitor_client import MonitorClient
from fedforge_runtime.telemetry.reach import MonitorReach

_OFFER_SECONDS = 20.0
_ANSWER_SECONDS = 4.5
"""A little less than whoever asks waits."""
_LONGEST_RETRY_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 0.5
_GOOD_BYE_SECONDS = 2.0
_LOOK_SECONDS = 0.2
_PURPOSE = "offer"


def waiting_for(client: MonitorClient, claimant: str) -> list[Run]:
    """The runs that a claimant may claim, the oldest first: what the offer that he holds takes.

    Raises:
        MonitorAwayError, MonitorRefusedError: see there.
    """
    return client.ask("GET", f"{_path(claimant)}/runs", Runs)["runs"]


def _path(claimant: str) -> str:
    return f"/api/offers/{quote(claimant, safe='')}"


class Offering(Background):
    """Offers while the block runs, and answers each check by a process of its own; the offer ends with the block.

    Args:
        defaults: see `offer_document`.
        home: where a run of it would go.
        checks: whether it answers checks at all.

    Raises:
        ConfigError: the SuperLink that the defaults name has no address.
    """

    def __init__(
        self, reach: MonitorReach, claimant: str, defaults: ClaimantDefaults, home: Home, *, checks: bool = True
    ) -> None:
        super().__init__("offering", patience=0)
        self.offered = threading.Event()
        """Set once the monitor holds it."""
        self._reach = reach
        self._claimant = claimant
        self._defaults = defaults
        self._document = offer_document(defaults)
        self._sites = ReachedSites(defaults, home)
        self._client = MonitorClient(reach.address, patience=_OFFER_SECONDS + _ANSWER_SECONDS, emits=True)
        self._rehearsals = RehearsalProcess(home, reach.say) if checks else None

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        # Where the monitor is away the offer ends by itself.
        with suppress(AskError), MonitorClient(self._reach.address, patience=_GOOD_BYE_SECONDS, emits=True) as client:
            client.tell("DELETE", _path(self._claimant))

    def _work(self) -> None:
        away = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        until, checks, rehearsals = monotonic(), False, self._rehearsals
        with self._client:
            while not self._ending.is_set():
                try:
                    if monotonic() >= until or (rehearsals and checks is not rehearsals.is_ready()):
                        if rehearsals:
                            rehearsals.start()
                            checks = rehearsals.is_ready()
                        self._hold(checks=checks)
                        until = monotonic() + _OFFER_SECONDS
                    if checks and rehearsals:
                        self._answer_next(rehearsals, max(0.0, until - monotonic()))
                    else:
                        self._ending.wait(_LOOK_SECONDS)
                except AskError as error:
                    if isinstance(error, MonitorRefusedError):
                        until = monotonic()  # it was started again, and has forgotten the offer
                    self._reach.failed(_PURPOSE, error)
                    self._ending.wait(away.after_failure(error.retry_after))
                    continue
                self._reach.answered(_PURPOSE)
                away.reset()
        if rehearsals:
            rehearsals.end()
        self._reach.ended(_PURPOSE)

    def _hold(self, *, checks: bool) -> None:
        """For the next minute."""
        said = {**self._document, "sites": self._sites.now(), "checks": checks}
        self._client.ask("PUT", _path(self._claimant), Offered, json=said)
        self.offered.set()

    def _answer_next(self, rehearsals: RehearsalProcess, wait: float) -> None:
        asked = {"claimant": self._claimant, "wait": wait}
        check = self._client.ask("GET", "/api/checks/next", NextCheck, params=asked)["check"]
        if check is None or self._ending.is_set():
            return
        answer = self._answer_to(rehearsals, check["request"])
        if answer is not None:
            self._client.ask("POST", f"/api/checks/{check['check_id']}", Answered, json=answer)

    def _answer_to(self, rehearsals: RehearsalProcess, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            overrides = self._defaults.completed(asked["overrides"])
        except ConfigError as error:
            return {"valid": False, "error": str(error)}
        return rehearsals.ask({**asked, "overrides": overrides}, _ANSWER_SECONDS)


class ReachedSites:
    """The sites of the SuperLink that a claimant's runs go over, looked at anew for each offer.

    Raises:
        ConfigError: it has no address.
    """

    def __init__(self, defaults: ClaimantDefaults, home: Home) -> None:
        self._link = LinkAddress.parse(defaults.superlink, defaults.root_certificates) if defaults.superlink else None
        self._home = home
        self._known: list[dict[str, Any]] = []

    def now(self) -> list[dict[str, Any]]:
        """As an offer has them; while the SuperLink is away, as they were."""
        if self._link is None:
            return []
        from fedforge_runtime.engines.superlink.standing import sites_behind

        with suppress(FedForgeError, httpx.HTTPError, OSError):
            sites = sites_behind(self._link, self._home)
            self._known = [{"site": number, "name": name} for number, name in sorted(sites.items())]
        return self._known


class RehearsalProcess:
    """The process that answers checks. It ends with this one, at the latest after the answer that it is at.

    Args:
        say: told when it gives no answer.
    """

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self._home = home
        self._say = say
        self._process: Child | None = None
        self._ready = False

    def start(self) -> None:
        """Have it started, unless it is there."""
        if self._process is not None and self._process.poll() is None:
            return
        self.end()
        self._process = Child(
            [sys.executable, "-m", "fedforge_runtime.runs.rehearsal", str(self._home.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def is_ready(self) -> bool:
        """Whether it has loaded what it takes to answer in time."""
        if self._process is not None and not self._ready:
            self._ready = json.loads(_line_of(self._process, monotonic()) or b"null") == READY
        return self._ready

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """What `rehearse` says, of a process that is ready; `None` where it has not said it in so many seconds."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        line = b""
        with suppress(OSError):  # it has died
            process.stdin.write(f"{json.dumps(request)}\n")
            line = _line_of(process, monotonic() + seconds)
        if line:
            return dict(json.loads(line))
        code = process.poll()
        if code is None:
            self._say(f"a check has taken more than {seconds:g} s and was given up.")
        else:
            self._say(f"the process that answers checks has ended: {describe_exit(code)}.")
        self.end()
        return None

    def end(self) -> None:
        """Have it ended when this returns."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        with suppress(OSError), process:  # it is gone, or its pipe is broken: waited for all the same
            os.killpg(process.pid, signal.SIGKILL)


def _line_of(process: Child, until: float) -> bytes:
    """The next line of what a process writes; nothing where it does not come in time."""
    assert process.stdout is not None
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            part = os.read(process.stdout.fileno(), 65536) if selector.select(max(0.0, until - monotonic())) else b""
            if not part:
                return b""
            line += part
    return line
