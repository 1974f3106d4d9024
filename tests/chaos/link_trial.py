"""One trial of the way between a run and its monitor: it fails in every manner, at seeded moments of the run."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fedforge_runtime.record.records import read_records
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Delivery
from tests.chaos.ground import Ground
from tests.chaos.monitor_trial import kept_events
from tests.e2e.command import running, wait_until
from tests.support.bad_link import BadLink
from tests.support.monitor_process import MonitorProcess

END_SECONDS = 240.0
STRIKES: Mapping[str, Callable[[BadLink, random.Random], None]] = {
    "cut": lambda link, chance: link.reset(),
    "cut in an answer": lambda link, chance: link.cut_answers(after=chance.randrange(400)),
    "stalled": lambda link, chance: link.stall(),
    "refused": lambda link, chance: link.refuse(),
    "HTML": lambda link, chance: link.answer(200),
    "401": lambda link, chance: link.answer(401),
    "429": lambda link, chance: link.answer(429, {"Retry-After": str(chance.randrange(3))}),
    "502": lambda link, chance: link.answer(502),
    "a redirect": lambda link, chance: link.answer(302, {"Location": "http://login.example/"}),
}


@dataclass
class LinkTrial:
    """What was done and what came of it."""

    seed: int
    strikes: list[str] = field(default_factory=list)
    paused: bool = False
    """Whether an operator's pause came to pass in between."""
    at_the_end: str = ""
    """How the way was when the run ended."""
    events: int = 0
    """In the log of the run."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_link_trial(ground: Ground, seed: int, folder: Path) -> LinkTrial:
    """Do everything; whatever does not hold is in the trial's `problems`."""
    trial, began = LinkTrial(seed), time.monotonic()
    chance = random.Random(f"{seed} link")
    run_id = f"link-{seed}"
    run = ground.home.run(run_id)
    with MonitorProcess(folder / "home") as monitor, BadLink(int(monitor.url.rpartition(":")[2])) as link:
        command = ("run", "blood", *ground.options, "--engine", "inprocess", "--run-id", run_id)
        with running(*command, "--monitor", link.url, "--json") as process, monitor.client() as operator:
            errors = _strike_until_it_ends(trial, chance, link, process, operator, run_id)
        if process.returncode != 0:
            trial.problems.append(f"the run ended with {process.returncode}: {errors.strip().splitlines()[-1:]}")
        link.pass_on()
        files = RunFolder(run.path)
        with MonitorClient(MonitorAddress.parse(link.url)) as client:
            delivery = Delivery(files, client)  # as `events import` does
            while delivery.send_next() is not None:
                pass
        mine = [json.loads(line)["event_id"] for line in run.events.read_text().splitlines()]
        trial.events = len(mine)
        if kept_events(monitor, run_id) != mine:
            trial.problems.append("the monitor does not have what is in the log of the run, once and in that order")
        if run.refused_events.exists():
            trial.problems.append("events of the run were refused")
        with monitor.client() as client:
            view = client.get(f"/api/runs/{run_id}").json()
        if (view["state"], view["attempt"]) != ("completed", 1):
            trial.problems.append(f"at the monitor it is {view['state']} in attempt {view['attempt']}")
    records = read_records(run)
    if not records or records[-1].model_sha256 != ground.undisturbed:
        trial.problems.append("another model than that of an undisturbed run")
    trial.seconds = round(time.monotonic() - began, 1)
    return trial


def _strike_until_it_ends(
    trial: LinkTrial,
    chance: random.Random,
    link: BadLink,
    process: subprocess.Popen[str],
    operator: httpx.Client,
    run_id: str,
) -> str:
    """What the run said to people."""
    until = time.monotonic() + END_SECONDS
    pause_after = chance.randrange(2, 12)
    while time.monotonic() < until:
        name = chance.choice(list(STRIKES))
        STRIKES[name](link, chance)
        trial.strikes.append(name)
        trial.at_the_end = name
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=chance.uniform(0.05, 1.5))[1]
        if len(trial.strikes) >= pause_after and not trial.paused:
            link.pass_on()
            trial.paused = _pause_and_go_on(operator, process, run_id)
        if chance.random() < 0.6:
            link.pass_on()
            trial.at_the_end = ""
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=chance.uniform(0.05, 0.5))[1]
    trial.problems.append(f"the command did not end within {END_SECONDS:.0f} s")
    return ""


def _pause_and_go_on(operator: httpx.Client, process: subprocess.Popen[str], run_id: str) -> bool:
    """Whether a pause that was asked for came to pass before the run's end."""

    def state() -> str:
        answer: str = operator.get(f"/api/runs/{run_id}").json().get("state", "")
        return answer

    def give(name: str) -> bool:
        body = {"command": name, "given_by": "chaos"}
        return operator.post(f"/api/runs/{run_id}/commands", json=body).is_success

    if not give("pause"):
        return False
    wait_until(lambda: state() == "paused" or process.poll() is not None, "the pause or the end", END_SECONDS)
    return give("resume")
