"""Crashes, damaged files and a second monitor: nothing that was acknowledged is lost, and errors are clear."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.chaos.monitor_trial import run_trial
from tests.support.monitor_process import MonitorProcess, event_of
from tests.support.patience import PATIENCE_SECONDS


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))])
def test_kill_9_loses_nothing_that_was_acknowledged_and_nothing_of_a_run(tmp_path: Path, seed: int) -> None:
    trial = run_trial(seed, tmp_path)

    assert trial.problems == []
    assert trial.acknowledged > 0
    assert trial.kills > 0


def run_monitor(home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "--home", str(home), "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


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
        with connect(address, proxy=None, open_timeout=PATIENCE_SECONDS) as socket:
            assert json.loads(socket.recv(timeout=PATIENCE_SECONDS))["type"] == "hello"
            assert json.loads(socket.recv(timeout=PATIENCE_SECONDS))["type"] == "run"
            monitor.end()
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=PATIENCE_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
