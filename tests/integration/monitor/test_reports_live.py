"""Reports in the home, as links from other pages show them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

KEY = "0123456789abcdef0123"


def write_report(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(text)


def test_reports_of_runs_and_audits_are_shown_and_can_do_nothing(client: httpx.Client, monitor: MonitorProcess) -> None:
    write_report(monitor.home / "runs" / "reported", "<p>of a run")
    write_report(monitor.home / "assets" / "audit" / KEY, "<p>of an audit")

    for path, text in ((f"/api/audits/{KEY}/report", "<p>of an audit"), ("/api/runs/reported/report", "<p>of a run")):
        shown = client.get(path)

        assert shown.text == text
        assert shown.headers["content-type"].startswith("text/html")
        assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_a_page_that_was_sent_is_shown_in_place_of_that_of_the_home_and_can_do_nothing(
    client: httpx.Client, monitor: MonitorProcess
) -> None:
    write_report(monitor.home / "runs" / "sent", "<p>of the home")
    for path in ("/api/runs/sent/report", f"/api/audits/{KEY[::-1]}/report"):
        for page in (b"<p>former", "<p>gesendet: \u00e4".encode()):
            digest = {"sha256": hashlib.sha256(page).hexdigest()}
            assert client.put(path, params=digest, content=page).status_code == httpx.codes.NO_CONTENT

        shown = client.get(path)
        assert shown.text == "<p>gesendet: \u00e4"
        assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_a_page_that_was_altered_on_the_way_or_is_too_large_is_refused(client: httpx.Client) -> None:
    path, digest = "/api/runs/altered/report", {"sha256": hashlib.sha256(b"<p>whole").hexdigest()}

    refused = client.put(path, params=digest, content=b"<p>who")
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "not what was announced" in refused.json()["error"]
    large = b"x" * (5 * 1024 * 1024)
    with suppress(httpx.TransportError):  # it may hang up on what it does not take
        assert client.put(path, params=digest, content=large).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert client.get(path).status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("path", ["/api/runs/unreported/report", f"/api/audits/{'f' * 20}/report"])
def test_a_report_that_is_not_there_is_said_to_be_written_later(client: httpx.Client, path: str) -> None:
    refused = client.get(path)

    assert refused.status_code == httpx.codes.NOT_FOUND
    assert "when that has completed" in refused.json()["error"]


@pytest.mark.parametrize("path", ["/api/runs/..%2Fmonitor/report", "/api/runs/.hidden/report", "/api/audits/../report"])
def test_nothing_else_of_the_home_is_reached(client: httpx.Client, path: str) -> None:
    assert client.get(path).is_client_error


def test_with_a_token_reports_need_it(tmp_path: Path) -> None:
    write_report(tmp_path / "runs" / "secret", "<p>secret")
    with MonitorProcess(tmp_path, token="a secret") as monitor:
        answer = httpx.get(f"{monitor.url}/api/runs/secret/report", trust_env=False, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 401
        with monitor.client() as client:
            assert client.get("/api/runs/secret/report").is_success
