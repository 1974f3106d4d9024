"""Who may do what: operators with the token or a session, emitters with a token of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fedforge_runtime.errors import ConfigError, MonitorRefusedError
from fedforge_runtime.telemetry.monitor_client import INGEST_TOKEN, TOKEN, MonitorAddress, MonitorClient
from tests.support.monitor_process import MonitorProcess, plain_client, started
from tests.support.patience import PATIENCE_SECONDS

OPERATORS, EMITTERS = "a secret of operators", "a secret of emitters"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[MonitorProcess]:
    with MonitorProcess(tmp_path, token=OPERATORS, ingest_token=EMITTERS) as process, process.client() as client:
        client.post("/api/events", json={"events": [started("run")]}).raise_for_status()
        yield process


def stranger(monitor: MonitorProcess) -> httpx.Client:
    return plain_client(monitor.url)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def begin(browser: httpx.Client, name: str = "Ada") -> httpx.Response:
    return browser.post("/api/session", json={"name": name}, headers=bearer(OPERATORS)).raise_for_status()


PAUSE = {"command": "pause", "given_by": "Ada"}


def test_a_session_does_what_the_token_does_and_survives_a_restart(locked: MonitorProcess) -> None:
    with stranger(locked) as browser:
        assert browser.get("/api/session").json() == {
            "required": True, "right": None, "name": None, "expires_at": None,
        }  # fmt: skip
        answer = begin(browser)
        (cookie,) = answer.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert OPERATORS not in cookie
        locked.kill()
        locked.start()
        page = {"Origin": locked.url}
        assert browser.get("/api/runs/run").json()["state"] == "running"
        assert browser.get("/api/session").json()["name"] == "Ada"
        assert browser.post("/api/runs/run/commands", json=PAUSE, headers=page).status_code == httpx.codes.ACCEPTED
        address = f"{locked.url.replace('http', 'ws')}/api/stream?run_id=run"
        session = {"Cookie": f"fedforge_session={browser.cookies['fedforge_session']}"}
        with connect(address, additional_headers=session, origin=locked.url, proxy=None) as socket:  # type: ignore[arg-type]
            assert '"hello"' in str(socket.recv(timeout=PATIENCE_SECONDS))

        assert browser.delete("/api/session", headers=page).status_code == httpx.codes.NO_CONTENT
        assert "fedforge_session" not in browser.cookies
        assert browser.get("/api/runs/run").status_code == httpx.codes.UNAUTHORIZED


def test_another_pages_request_is_not_that_of_the_session(locked: MonitorProcess) -> None:
    with stranger(locked) as browser:
        begin(browser)
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            answer = browser.post("/api/runs/run/commands", json=PAUSE, headers=headers)
            assert answer.status_code == httpx.codes.FORBIDDEN
        address = f"{locked.url.replace('http', 'ws')}/api/stream?run_id=run"
        session = {"Cookie": f"fedforge_session={browser.cookies['fedforge_session']}"}
        with (
            pytest.raises((InvalidStatus, ConnectionClosed)),
            connect(address, additional_headers=session, proxy=None) as socket,
        ):
            socket.recv(timeout=PATIENCE_SECONDS)
        assert browser.get("/api/runs/run").json()["state"] == "running"


@pytest.mark.parametrize("value", ["", "forged", "eyJuYW1lIjoiQWRhIn0.aSk0wA.AAAAAAAAAAAAAAAAAAAAAAAAAAA", '"', "a=b"])
def test_a_forged_session_is_a_strangers(locked: MonitorProcess, value: str) -> None:
    with stranger(locked) as browser:
        answer = browser.get("/api/runs", headers={"Cookie": f"fedforge_session={value}"})
        assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_another_token_ends_all_sessions(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path, token=OPERATORS) as before, stranger(before) as browser:
        begin(browser)
        value = browser.cookies["fedforge_session"]
        before.kill()
        with MonitorProcess(tmp_path, token="another secret") as after, stranger(after) as later:
            answer = later.get("/api/runs", headers={"Cookie": f"fedforge_session={value}"})
            assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_no_token_is_taken_from_an_address(locked: MonitorProcess) -> None:
    address = f"{locked.url.replace('http', 'ws')}/api/stream?run_id=run&token={OPERATORS.replace(' ', '%20')}"
    with pytest.raises((InvalidStatus, ConnectionClosed)), connect(address, proxy=None) as socket:
        socket.recv(timeout=PATIENCE_SECONDS)


def test_the_emitters_token_delivers_and_claims_and_neither_commands_nor_starts(locked: MonitorProcess) -> None:
    request = {"run_id": "asked", "request": {"phase": "blood"}}
    with stranger(locked) as operator, stranger(locked) as emitter:
        operator.headers.update(bearer(OPERATORS))
        emitter.headers.update(bearer(EMITTERS))
        for method, path, body in (
            ("POST", "/api/runs/run/commands", PAUSE),
            ("POST", "/api/runs", request),
            ("GET", "/api/runs/run/export", None),
            ("GET", "/api/attention", None),
        ):
            refused = emitter.request(method, path, json=body)
            assert refused.status_code == httpx.codes.FORBIDDEN, path
            assert "FEDFORGE_MONITOR_TOKEN" in refused.json()["error"]
        assert emitter.post("/api/session", json={"name": "Eve"}).status_code == httpx.codes.FORBIDDEN
        assert operator.get("/api/runs/run").json()["state"] == "running"
        assert operator.post("/api/runs", json=request).status_code == httpx.codes.CREATED

        assert emitter.post("/api/events", json={"events": [started("theirs")]}).is_success
        assert [run["run_id"] for run in emitter.get("/api/runs", params={"claimable": True}).json()["runs"]] == [
            "asked"
        ]
        lease = emitter.post("/api/runs/asked/claim", json={"claimant": "an agent"})
        assert lease.status_code == httpx.codes.CREATED
        assert emitter.post(f"/api/runs/asked/leases/{lease.json()['lease_id']}").is_success
        assert emitter.get("/api/runs/asked/desired").json()["desired"] == "run"


def test_who_emits_takes_the_emitters_token_and_who_commands_the_operators(
    locked: MonitorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "wrong")
    monkeypatch.setenv(INGEST_TOKEN, EMITTERS)
    with MonitorClient(MonitorAddress(locked.url), emits=True) as client:
        assert client.ask("GET", "/api/runs/run", dict[str, object])["run_id"] == "run"
    monkeypatch.setenv(TOKEN, OPERATORS)
    with MonitorClient(MonitorAddress(locked.url)) as client:
        assert client.ask("POST", "/api/runs/run/commands", dict[str, object], json=PAUSE)["command"] == "pause"


def test_without_a_token_nobody_needs_a_session(client: httpx.Client) -> None:
    assert client.get("/api/session").json() == {
        "required": False, "right": "operator", "name": None, "expires_at": None,
    }  # fmt: skip


def test_without_a_token_a_session_keeps_the_name_that_commands_carry(
    monitor: MonitorProcess, client: httpx.Client
) -> None:
    assert client.post("/api/events", json={"events": [started("named")]}).is_success
    with stranger(monitor) as browser:
        assert browser.post("/api/session", json={"name": "Grace"}).status_code == httpx.codes.CREATED
        assert browser.get("/api/session").json()["name"] == "Grace"
        given = browser.post("/api/runs/named/commands", json=PAUSE, headers={"Origin": monitor.url})
    assert given.json()["given_by"] == "Grace"


def test_where_one_token_alone_is_known_that_is_shown(locked: MonitorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv(INGEST_TOKEN, EMITTERS)
    with MonitorClient(MonitorAddress(locked.url)) as client:
        assert client.ask("GET", "/api/runs/run", dict[str, object])["run_id"] == "run"
        with pytest.raises(MonitorRefusedError, match="FEDFORGE_MONITOR_TOKEN"):
            client.ask("POST", "/api/runs/run/commands", dict[str, object], json=PAUSE)
    monkeypatch.delenv(INGEST_TOKEN)
    monkeypatch.setenv(TOKEN, OPERATORS)
    with MonitorClient(MonitorAddress(locked.url), emits=True) as client:
        assert client.ask("GET", "/api/runs/run", dict[str, object])["run_id"] == "run"


def test_tokens_may_be_in_files_at_the_monitor_and_at_who_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {TOKEN: tmp_path / "operator-token", INGEST_TOKEN: tmp_path / "ingest-token"}
    for (name, file), token in zip(files.items(), (OPERATORS, EMITTERS), strict=True):
        file.write_text(f"{token}\n")
        monkeypatch.setenv(f"{name}_FILE", str(file))
    monkeypatch.setenv("FEDFORGE_MONITOR_HOSTS", "monitor dashboard.example.org")

    with MonitorProcess(tmp_path / "home") as locked:
        with stranger(locked) as nobody:
            assert nobody.get("/api/runs").status_code == httpx.codes.UNAUTHORIZED
            named = {"Host": "dashboard.example.org", "Authorization": f"Bearer {OPERATORS}"}
            assert nobody.get("/api/runs", headers=named).is_success
        with (
            MonitorClient(MonitorAddress(locked.url)) as operator,
            MonitorClient(MonitorAddress(locked.url), emits=True) as emitter,
        ):
            assert operator.ask("GET", "/api/session", dict[str, object])["right"] == "operator"
            assert emitter.ask("GET", "/api/session", dict[str, object])["right"] == "emitter"


@pytest.mark.parametrize("content", [None, "\n"])
def test_a_file_of_a_token_that_is_not_there_or_empty_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(f"{TOKEN}_FILE", str(file))

    with pytest.raises(ConfigError, match=str(file)):
        MonitorClient(MonitorAddress("http://127.0.0.1:1"))
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "--home", str(tmp_path / "home"), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {TOKEN}_FILE: ")
    assert str(file) in done.stderr
