"""Forgetting old runs, beside a monitor that serves and without one."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
from websockets.sync.client import connect

from tests.support.monitor_process import MonitorProcess, event_of, of_server, started
from tests.support.patience import PATIENCE_SECONDS

TREE = Path(__file__).parents[3]
_TABLES = ("run", "event", "emitter", "node", "command")


def prune(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "prune", "--home", str(home), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def take(client: httpx.Client, *events: object) -> None:
    results = client.post("/api/events", json={"events": list(events)}).json()["results"]
    assert [each["outcome"] for each in results] == ["accepted"] * len(events)


def age(monitor: MonitorProcess, run_id: str, days: int) -> None:
    with sqlite3.connect(monitor.database, timeout=PATIENCE_SECONDS) as database:
        database.execute(
            "UPDATE run SET last_event_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', ?) WHERE run_id = ?",
            (f"-{days} days", run_id),
        )


def runs_in(monitor: MonitorProcess, table: str) -> set[str]:
    with sqlite3.connect(monitor.database, timeout=PATIENCE_SECONDS) as database:
        return {row[0] for row in database.execute(f"SELECT DISTINCT run_id FROM {table}")}


def test_old_runs_that_ended_are_forgotten_and_others_stay(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        for run_id in ("old", "young", "old-but-paused"):
            take(client, started(run_id), event_of(run_id, 1))
            for name in ("pause",):
                order = {"command": name, "given_by": "a person"}
                assert client.post(f"/api/runs/{run_id}/commands", json=order).is_success
        for run_id in ("old", "young"):
            take(client, of_server(run_id, 2, "run_completed", model_sha256="0" * 64))
        take(client, of_server("old-but-paused", 2, "run_paused"))
        age(monitor, "old", 40)

        shown = prune(tmp_path, "--older-than", "30", "--dry-run")
        assert client.get("/api/runs/old").is_success
        done = prune(tmp_path, "--older-than", "30", "--compact")

        assert "old: completed" in shown.stdout
        assert "1 runs would be forgotten" in shown.stdout
        assert done.returncode == 0, done.stderr
        assert client.get("/api/runs/old").status_code == httpx.codes.NOT_FOUND
        for table in _TABLES:
            assert runs_in(monitor, table) == {"young", "old-but-paused"}
        take(client, event_of("young", 2))  # the monitor goes on
        monitor.end()
        without = prune(tmp_path, "--older-than", "0")
    assert "young" in without.stdout
    assert runs_in(monitor, "run") == {"old-but-paused"}


def test_a_forgotten_run_can_be_loaded_again_and_readers_begin_anew(tmp_path: Path) -> None:
    events = [started("again"), event_of("again", 1), of_server("again", 2, "run_failed", reason="for a test")]
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        take(client, *events)
        assert prune(tmp_path, "--older-than", "0").returncode == 0
        take(client, events[0])

        address = f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=again&after=3"
        with connect(address, proxy=None, open_timeout=PATIENCE_SECONDS) as socket:
            assert json.loads(socket.recv(timeout=PATIENCE_SECONDS))["type"] == "hello"
            assert json.loads(socket.recv(timeout=PATIENCE_SECONDS))["type"] == "resync"
            take(client, *events[1:])
            received: list[int] = []
            while len(received) < 2:
                frame = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
                received += [each["seq"] for each in frame.get("events", [])]
        kept = [json.loads(line)["event_id"] for line in client.get("/api/runs/again/export").text.splitlines()]

    assert received == [2, 3]
    assert kept == [event["event_id"] for event in events]


def test_the_home_may_be_named_before_the_command_or_by_the_environment(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path):
        pass
    options = [sys.executable, "-m", "monitor", "--home", str(tmp_path), "prune", "--older-than", "0"]
    environment = {**os.environ, "FEDFORGE_HOME": str(tmp_path)}
    for command, given in ((options, None), ([*options[:3], *options[5:]], environment)):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, env=given, cwd=TREE
        )
        assert (done.returncode, done.stdout) == (0, "0 runs are forgotten\n"), done.stderr


def test_where_there_is_no_database_nothing_is_made(tmp_path: Path) -> None:
    done = prune(tmp_path / "wrong", "--older-than", "30")

    assert done.returncode == 1
    assert "there is no database" in done.stderr
    assert not (tmp_path / "wrong").exists()
