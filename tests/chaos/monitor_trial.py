"""One trial of the monitor: kill -9 at seeded moments under load, and what must be in its database afterwards."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Delivery
from tests.e2e.command import wait_until
from tests.support.monitor_process import MonitorProcess, event_of
from tests.support.patience import PATIENCE_SECONDS

SENDERS = 3
_LARGEST_BATCH = 50
_STARTUP_SECONDS = 1.5
_OF_A_RUN = 400
"""Events that each process of the run emits."""


@dataclass
class MonitorTrial:
    """What was done and what came of it."""

    seed: int
    kills: int = 0
    kills_while_starting: int = 0
    run_kills: int = 0
    """Of the process of a run, whose outbox the next one goes on with."""
    acknowledged: int = 0
    """Events that somebody was told of that they are kept."""
    of_run: int = 0
    """Events in the log of the run."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Sender(threading.Thread):
    """Emits without end, sends again what was not acknowledged, and remembers what was."""

    def __init__(self, monitor: MonitorProcess, run_id: str, emitter: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self._monitor = monitor
        self._run_id = run_id
        self._emitter = f"client-{emitter}"
        self._chance = random.Random(f"{seed} {emitter}")
        self._ending = threading.Event()

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=5, trust_env=False) as client:
            while not self._ending.is_set():
                size = self._chance.randint(1, _LARGEST_BATCH)
                batch = [event_of(self._run_id, number + each, emitter_id=self._emitter) for each in range(1, size + 1)]
                number += size
                self._send(client, batch)

    def _send(self, client: httpx.Client, batch: list[dict[str, Any]]) -> None:
        while True:
            try:
                answer = client.post(f"{self._monitor.url}/api/events", json={"events": batch})
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            if answer.is_success:
                self.acknowledged += [str(event["event_id"]) for event in batch]
                return

    def end(self) -> None:
        self._ending.set()
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()


def run_trial(seed: int, folder: Path) -> MonitorTrial:
    """Do everything; whatever does not hold is in the trial's `problems`."""
    trial, began = MonitorTrial(seed), time.monotonic()
    chance = random.Random(seed)
    files = RunFolder(folder)
    with MonitorProcess(folder / "home") as monitor:
        senders = [Sender(monitor, "crashing", number, seed) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        run = _start_run(files, monitor)
        try:
            for _ in range(chance.randint(1, 3)):
                _wait_for_load(senders, chance)
                if chance.random() < 0.3:
                    run.kill()
                    run.wait()
                    trial.run_kills += 1
                    run = _start_run(files, monitor)
                _kill(monitor, chance, trial)
                if run.poll() is not None:
                    run = _start_run(files, monitor)
                monitor.start()
            for sender in senders:
                sender.end()
            run.wait(PATIENCE_SECONDS)
        finally:
            run.kill()
            run.wait()
        with MonitorClient(MonitorAddress.parse(monitor.url)) as client:
            delivery = Delivery(files, client)  # as `events import` and the next attempt of a run do
            while delivery.send_next() is not None:
                pass
        trial.acknowledged = sum(len(sender.acknowledged) for sender in senders)
        trial.problems += _lost_or_twice(monitor, "crashing", [sender.acknowledged for sender in senders])
        mine = [json.loads(line)["event_id"] for line in files.events.read_text().splitlines()]
        trial.of_run = len(mine)
        if kept_events(monitor, "emitting") != mine:
            trial.problems.append("the monitor does not have what is in the log of the run, once and in that order")
        if files.refused_events.exists():
            trial.problems.append("events of the run were refused")
    trial.seconds = round(time.monotonic() - began, 1)
    return trial


def _start_run(files: RunFolder, monitor: MonitorProcess) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.chaos.emitting", str(files.events.parent), monitor.url, str(_OF_A_RUN)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)


def _wait_for_load(senders: Sequence[Sender], chance: random.Random) -> None:
    def count() -> int:
        return sum(len(sender.acknowledged) for sender in senders)

    wanted = count() + chance.randrange(1, 1500)
    wait_until(lambda: count() >= wanted, "the load", PATIENCE_SECONDS)
    time.sleep(chance.random() * 0.05)  # at no moment that depends on an acknowledgement


def _kill(monitor: MonitorProcess, chance: random.Random, trial: MonitorTrial) -> None:
    monitor.kill()
    trial.kills += 1
    while chance.random() < 0.4:
        monitor.launch()
        time.sleep(chance.random() * _STARTUP_SECONDS)
        monitor.kill()
        trial.kills += 1
        trial.kills_while_starting += 1


def kept_events(monitor: MonitorProcess, run_id: str) -> list[str]:
    with sqlite3.connect(monitor.database) as database:
        rows = database.execute("SELECT event_id FROM event WHERE run_id = ? ORDER BY seq", [run_id]).fetchall()
    return [row[0] for row in rows]


def _lost_or_twice(monitor: MonitorProcess, run_id: str, acknowledged: Sequence[Sequence[str]]) -> list[str]:
    problems = []
    with monitor.client() as client:
        last = client.get(f"/api/runs/{run_id}").json()["last_seq"]
        exported = [json.loads(line)["event_id"] for line in client.get(f"/api/runs/{run_id}/export").iter_lines()]
    kept = kept_events(monitor, run_id)
    with sqlite3.connect(monitor.database) as database:
        numbers = database.execute("SELECT seq FROM event WHERE run_id = ? ORDER BY seq", [run_id]).fetchall()
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
    if sound != "ok":
        problems.append(f"the database is not sound: {sound}")
    if [number for (number,) in numbers] != list(range(1, last + 1)):
        problems.append("the numbers of the events have gaps")
    if kept != exported:
        problems.append("what is exported is not what is kept")
    if len(set(kept)) != len(kept):
        problems.append("an event is kept twice")
    for number, theirs in enumerate(acknowledged):
        wanted = set(theirs)
        if [each for each in kept if each in wanted] != list(theirs):
            problems.append(f"events of sender {number} that were acknowledged are missing or in another order")
    return problems
