"""Who may talk to the monitor, and how much."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.monitor_process import MonitorProcess, event_of, plain_client
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorProcess]:
    with MonitorProcess(tmp_path_factory.mktemp("locked"), token="a secret") as process:
        yield process


def test_another_web_page_cannot_start_a_run(client: httpx.Client) -> None:
    body = {"run_id": "forged", "request": {"phase": "blood"}}

    refused = client.post("/api/runs", json=body, headers={"Origin": "https://evil.example"})

    assert refused.status_code == httpx.codes.FORBIDDEN
    assert "evil.example" in refused.json()["error"]
    assert client.get("/api/runs/forged").status_code == httpx.codes.NOT_FOUND


def test_a_page_of_the_monitor_itself_may(client: httpx.Client, monitor: MonitorProcess) -> None:
    assert client.get("/api/runs", headers={"Origin": monitor.url}).is_success


def test_a_name_that_was_rebound_to_this_machine_is_refused(client: httpx.Client) -> None:
    refused = client.get("/api/runs", headers={"Host": "evil.example:8400"})

    assert refused.status_code == httpx.codes.MISDIRECTED_REQUEST
    assert "--allow-host" in refused.json()["error"]


def test_another_page_cannot_read_the_stream(monitor: MonitorProcess) -> None:
    address = f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=any"
    with (
        pytest.raises(InvalidStatus),
        connect(address, origin="https://evil.example", proxy=None, open_timeout=PATIENCE_SECONDS),  # type: ignore[arg-type]
    ):
        pass


def test_without_the_token_nothing_is_shown_or_taken(locked: MonitorProcess) -> None:
    with plain_client(locked.url) as stranger:
        for answer in (
            stranger.get("/api/runs"),
            stranger.post("/api/events", json={"events": [event_of("any", 1)]}),
            stranger.get("/api/runs", headers={"Authorization": "Bearer wrong"}),
            stranger.get("/metrics"),
        ):
            assert answer.status_code == httpx.codes.UNAUTHORIZED
            assert "Authorization: Bearer" in answer.json()["error"]
        assert stranger.get("/api/health").is_success
    with locked.client() as known:
        assert known.get("/api/runs").is_success


def test_who_comes_through_a_proxy_on_this_machine_is_not_this_machine(
    client: httpx.Client, monitor: MonitorProcess, locked: MonitorProcess
) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1"}

    refused = client.get("/metrics", headers=forwarded)

    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert "--behind-proxy" in refused.json()["error"]
    assert client.get("/metrics").is_success
    with (
        pytest.raises(InvalidStatus),
        connect(
            f"{monitor.url.replace('http', 'ws')}/api/stream?run_id=any",
            additional_headers=forwarded,
            proxy=None,
            open_timeout=PATIENCE_SECONDS,
        ),
    ):
        pass
    with locked.client() as known:
        assert known.get("/metrics", headers=forwarded).is_success


@pytest.mark.parametrize("reach", [("--host", "0.0.0.0"), ("--behind-proxy",)])
def test_a_monitor_beyond_this_machine_needs_a_token(tmp_path: Path, reach: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "--home", str(tmp_path), *reach, "--port", "0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={"PATH": "/usr/bin:/bin"},
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "FEDFORGE_MONITOR_TOKEN" in done.stderr
    assert not (tmp_path / "monitor").exists()


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(client: httpx.Client) -> None:
    large = b"x" * (10 * 1024 * 1024)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    for content in (large, pieces()):
        try:
            answer = client.post("/api/events/import", content=content)
        except httpx.TransportError:
            continue  # it hung up on what it does not take
        assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        assert "Send less" in answer.json()["error"]
    assert client.get("/api/ready").is_success


def test_a_batch_with_too_many_events_is_refused_whole(client: httpx.Client) -> None:
    answer = client.post("/api/events", json={"events": [event_of("many", number) for number in range(1, 1002)]})

    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "1000" in answer.json()["error"]
    assert client.get("/api/runs/many").status_code == httpx.codes.NOT_FOUND


def test_a_cursor_of_somebody_elses_is_refused(client: httpx.Client) -> None:
    for cursor in ("nonsense", "bnVsbA==", "WyJhIl0=", "WyJhIiwiYiJd"):
        answer = client.get("/api/runs", params={"cursor": cursor})
        assert answer.status_code == httpx.codes.BAD_REQUEST, cursor
        assert "not a cursor" in answer.json()["error"]
