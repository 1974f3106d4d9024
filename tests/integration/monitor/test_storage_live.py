"""Crashes, damaged files and a second monitor: nothing that was acknowledged is lost, and errors are clear."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.monitor_process import MonitorProcess, event_of


class Sender(threading.Thread):
    """Emits without end, sends again what was not acknowledged, and remembers what was."""

    def __init__(self, monitor: MonitorProcess, run_id: str, emitter: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self._monitor = monitor
        self._run_id = run_id
        self._emitter = emitter
        self._ending = threading.Event()

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=5, trust_env=False) as client:
            while not self._ending.is_set():
                batch = [
                    event_of(self._run_id, number + each, emitter_id=f"client-{self._emitter}") for each in range(1, 21)
                ]
                number += len(batch)
                self._send(client, batch)

    def _send(self, client: httpx.Client, batch: list[dict[str, object]]) -> None:
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
        self.join(timeout=60)
        assert not self.is_alive()


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_kill_9_exactly_once_and_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with MonitorProcess(tmp_path) as monitor:
        senders = [Sender(monitor, "crashing", number) for number in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(3):
            wanted = sum(len(sender.acknowledged) for sender in senders) + chance.randrange(20, 400)
            deadline = time.monotonic() + 60
            while sum(len(sender.acknowledged) for sender in senders) < wanted:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            monitor.kill()
            monitor.start()
        for sender in senders:
            sender.end()

        with monitor.client() as client:
            exported = client.get("/api/runs/crashing/export").text.splitlines()
            last = client.get("/api/runs/crashing").json()["last_seq"]
    with sqlite3.connect(monitor.database) as database:
        rows = database.execute("SELECT seq, event_id, body FROM event ORDER BY seq").fetchall()
    assert [row[0] for row in rows] == list(range(1, last + 1))
    assert [row[2] for row in rows] == exported
    kept = [row[1] for row in rows]
    for sender in senders:
        mine = set(sender.acknowledged)
        assert [each for each in kept if each in mine] == sender.acknowledged


def run_monitor(home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "--home", str(home), "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_second_monitor_of_the_same_home_is_refused(monitor: MonitorProcess) -> None:
    done = run_monitor(monitor.home)

    assert done.returncode != 0
    assert "another monitor has" in done.stderr


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "monitor" / "monitor.db"
    file.parent.mkdir()
    file.write_bytes(b"this is a diary, and no database at all" * 100)
    before = file.read_bytes()

    done = run_monitor(tmp_path)

    assert done.returncode != 0
    assert "cannot be used" in done.stderr
    assert "events import" in done.stderr
    assert file.read_bytes() == before


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor:
        monitor.end()
    with sqlite3.connect(monitor.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    done = run_monitor(tmp_path)

    assert done.returncode != 0
    assert "later version" in done.stderr


def test_while_another_program_holds_the_database_events_are_refused_and_can_be_sent_again(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        other = sqlite3.connect(monitor.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        event = event_of("locked", 1)

        refused = client.post("/api/events", json={"events": [event]})
        other.execute("ROLLBACK")
        other.close()
        taken = client.post("/api/events", json={"events": [event]})

    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "locked" in refused.json()["error"]
    assert taken.json()["results"][0]["outcome"] == "accepted"


def test_a_monitor_that_is_asked_to_end_says_good_bye_to_who_reads(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor:
        with monitor.client() as client:
            client.post("/api/events", json={"events": [event_of("followed", 1)]})
        address = f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=followed&after=1"
        with connect(address, proxy=None) as socket:
            assert json.loads(socket.recv(timeout=60))["type"] == "hello"
            monitor.end()
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=60)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
