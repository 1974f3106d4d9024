"""Disks, clocks, sleeping machines and sockets that fail: nothing accepted is lost, and the monitor goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.e2e.command import wait_until
from tests.support.folding import own_event_ids
from tests.support.monitor_process import MonitorProcess, event_of, started
from tests.support.patience import PATIENCE_SECONDS

_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def send(client: httpx.Client, *events: object) -> httpx.Response:
    return client.post("/api/events", json={"events": list(events)})


def accepted(answer: httpx.Response) -> bool:
    return answer.is_success and all(each["outcome"] == "accepted" for each in answer.json()["results"])


def state(client: httpx.Client, run_id: str) -> str:
    answer: str = client.get(f"/api/runs/{run_id}").json()["state"]
    return answer


def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own at a folder, which only an administrator can have."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this account cannot mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


small_disk = contextmanager(lambda folder: mounted(folder, "-t", "tmpfs", "-o", "size=3800k", "tmpfs"))
read_only = contextmanager(lambda folder: mounted(folder, "--bind", "-o", "ro", str(folder)))


def fill(client: httpx.Client, run_id: str) -> tuple[list[str], list[dict[str, object]], httpx.Response]:
    """Send until something is refused: what was taken, what was not, and the answer to that."""
    taken: list[str] = []
    for number in range(0, 100_000, 50):
        batch = [event_of(run_id, number + each, emitter_id="x" * 60) for each in range(1, 51)]
        answer = send(client, *batch)
        if not answer.is_success:
            return taken, batch, answer
        taken += [str(event["event_id"]) for event in batch]
    raise AssertionError("the disk was never full")


def not_ready(client: httpx.Client) -> str:
    """Why."""
    answer = client.get("/api/ready")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    error: str = answer.json()["error"]
    return error


def ready_again(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/api/ready").is_success, "it to be ready again")


def logged(log: pytest.CaptureFixture[str], text: str) -> None:
    """Wait until the monitor's log says it; once, and with the time."""
    lines: list[str] = []

    def said() -> bool:
        lines.extend(log.readouterr().err.splitlines())
        return any(text in line for line in lines)

    wait_until(said, f"{text} in the log")
    (line,) = (each for each in lines if text in each)
    assert datetime.fromisoformat(line[:19])


def assert_refused_in_words_and_goes_on(
    monitor: MonitorProcess, log: pytest.CaptureFixture[str], make_room: Callable[[], None]
) -> None:
    with monitor.client() as client:
        taken, refused, answer = fill(client, "full")

        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "Free some space" in answer.json()["error"]
        assert [not_ready(client) for _ in range(3)] == [answer.json()["error"]] * 3
        assert client.get("/api/health").is_success
        assert own_event_ids(client, "full") == taken  # it can still be read
        make_room()
        ready_again(client)
        assert accepted(send(client, *refused))
        assert own_event_ids(client, "full") == taken + [event["event_id"] for event in refused]
    monitor.kill()
    monitor.start()
    with monitor.client() as client:
        assert own_event_ids(client, "full") == taken + [event["event_id"] for event in refused]
    logged(log, "cannot be used")


def test_a_full_disk_refuses_keeps_what_was_taken_and_goes_on_with_room(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path):
        ballast = tmp_path / "ballast"
        ballast.write_bytes(b"0" * 3_000_000)
        with MonitorProcess(tmp_path) as monitor:
            assert_refused_in_words_and_goes_on(monitor, capfd, ballast.unlink)


def test_a_file_that_may_not_grow_is_no_worse(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with MonitorProcess(tmp_path) as monitor:
        resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))

        assert_refused_in_words_and_goes_on(
            monitor, capfd, lambda: resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, _NO_LIMIT) and None
        )


def test_a_database_that_may_not_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor:
        with monitor.client() as client:
            assert accepted(send(client, event_of("kept", 1)))
        monitor.end()
    before = monitor.database.read_bytes()
    with read_only(tmp_path):
        command = [sys.executable, "-m", "monitor", "--home", str(tmp_path), "--port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)

    assert done.returncode != 0
    assert f"the database {monitor.database} cannot be used" in done.stderr
    assert "Give the monitor's user the right" in done.stderr
    assert monitor.database.read_bytes() == before


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_run_whose_clock_is_an_hour_off_is_not_lost_and_its_events_keep_both_times(
    tmp_path: Path, hours: int
) -> None:
    theirs = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    with MonitorProcess(tmp_path, "--silence", "3") as monitor, monitor.client() as client:
        before = datetime.now(UTC)
        assert accepted(send(client, started("off", ts=theirs), event_of("off", 1, ts=theirs)))
        (_, kept_event) = client.get("/api/runs/off/events").json()["events"]
        run = client.get("/api/runs/off").json()

        assert datetime.fromisoformat(kept_event["event"]["ts"]) == datetime.fromisoformat(theirs)
        assert before <= datetime.fromisoformat(kept_event["received_at"]) <= datetime.now(UTC)
        assert run["silent_seconds"] < 1800
        assert run["state"] == "running" or run["silent_seconds"] > 3
        wait_until(lambda: state(client, "off") == "lost", "lost, by the monitor's clock")


def test_a_monitor_that_slept_with_its_machine_waits_before_it_declares_anything_lost(tmp_path: Path) -> None:
    silence = 5.5
    with MonitorProcess(tmp_path, "--silence", str(silence)) as monitor, monitor.client() as client:
        assert accepted(send(client, started("awake")))
        os.kill(monitor.pid, signal.SIGSTOP)
        time.sleep(silence + 1)  # the subject of the test: time in which the monitor hears nothing
        os.kill(monitor.pid, signal.SIGCONT)
        woken = time.monotonic()
        wait_until(lambda: state(client, "awake") == "lost", "lost")

        assert time.monotonic() - woken > silence / 2


def silent_socket(monitor: MonitorProcess, text: str) -> socket.socket:
    """A connection that sends so much and then neither reads nor writes nor ends."""
    parts = urlsplit(monitor.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(text.format(host=parts.netloc).replace("\n", "\r\n").encode())
    return connection


_UPGRADE = """GET /api/stream?run_id=flood&after=0 HTTP/1.1
Host: {host}
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

"""
_HALF_A_BODY = """POST /api/events HTTP/1.1
Host: {host}
Content-Type: application/json
Content-Length: 1000

{{"events": ["""


def flood(client: httpx.Client, count: int, first: int) -> None:
    for number in range(first, first + count, 500):
        assert accepted(send(client, *(event_of("flood", number + each) for each in range(500))))


def test_readers_that_take_nothing_hold_nobody_up_are_cut_off_and_cost_no_memory(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--patience", "2") as monitor, monitor.client() as client:
        assert accepted(send(client, event_of("flood", 1)))
        stuck = [silent_socket(monitor, _UPGRADE) for _ in range(20)]
        before = psutil.Process(monitor.pid).memory_info().rss
        flood(client, 30_000, first=2)

        assert len(own_event_ids(client, "flood")) == 30_001
        assert psutil.Process(monitor.pid).memory_info().rss - before < 80e6  # all that was for them is 180 MB
        wait_until(lambda: monitor.connections() <= 1, "the end of their connections")
        for connection in stuck:
            connection.close()


def take_all(reader: ClientConnection, seen: list[int]) -> None:
    """What comes, until the last event or the end of the connection."""
    with suppress(ConnectionClosed):
        while not seen or seen[-1] < 30_001:
            frame = json.loads(reader.recv(timeout=PATIENCE_SECONDS))
            seen += [each["seq"] for each in frame.get("events", [])]


def test_a_reader_that_was_cut_off_goes_on_from_its_cursor(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--patience", "1") as monitor, monitor.client() as client:
        assert accepted(send(client, event_of("flood", 1)))
        address = f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=flood&after="
        seen: list[int] = []
        with connect(f"{address}0", proxy=None, max_queue=1, open_timeout=PATIENCE_SECONDS) as reader:
            flood(client, 30_000, first=2)
            wait_until(lambda: monitor.connections() <= 1, "the end of its connection")
            take_all(reader, seen)
        cut_at = len(seen)
        while seen[-1] < 30_001:  # a machine that is busy may keep this reader away for so long too
            with connect(f"{address}{seen[-1]}", proxy=None, open_timeout=PATIENCE_SECONDS) as reader:
                take_all(reader, seen)

    assert cut_at < 30_001
    assert seen == list(range(1, 30_002))


def test_a_sender_that_stops_in_the_middle_is_given_up_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, "--patience", "1") as monitor, monitor.client() as client:
        half = silent_socket(monitor, _HALF_A_BODY)
        half.settimeout(PATIENCE_SECONDS)
        answer = ""
        while not answer.endswith("}"):
            answer += half.recv(4096).decode()
        half.close()

        assert answer.startswith("HTTP/1.1 408")
        assert "nothing more of the request came" in answer
        assert client.get("/api/runs").json()["runs"] == []


def test_a_body_that_does_not_say_its_size_is_limited_too(client: httpx.Client) -> None:
    answer = client.post("/api/events/import", content=(b" " * 100_000 for _ in range(100)))

    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert "4,194,304 bytes" in answer.json()["error"]


def garble(database: Path, *, first: int) -> None:
    """Bytes at random from some place on."""
    size = database.stat().st_size
    with database.open("r+b") as stream:
        stream.seek(first)
        stream.write(os.urandom(size - first))


@pytest.mark.parametrize("first", [0, 4096])
def test_a_database_that_is_damaged_while_it_serves_is_named_and_makes_it_not_ready(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], first: int
) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        assert accepted(send(client, *(event_of("damaged", number) for number in range(1, 501))))
        with sqlite3.connect(monitor.database) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        garble(monitor.database, first=first)

        assert "events import" in not_ready(client)
        answer = client.get("/api/runs/damaged/events")
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "events import" in answer.json()["error"]
        assert "events import" in not_ready(client)
        logged(capfd, "cannot be used")


def test_a_database_whose_file_is_removed_takes_nothing_more_until_it_is_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        assert accepted(send(client, event_of("removed", 1)))
        aside = tmp_path / "aside.db"
        monitor.database.rename(aside)
        logged(capfd, f"the database {monitor.database} is not there any more")

        assert "is not there any more" in not_ready(client)
        refused = send(client, event_of("removed", 2))
        monitor.database.write_bytes(aside.read_bytes())
        assert "is not the file any more that this monitor has open" in not_ready(client)
        aside.rename(monitor.database)
        ready_again(client)
        logged(capfd, "can be used again")
        assert accepted(send(client, event_of("removed", 3)))

    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "Start the monitor again" in refused.json()["error"]
