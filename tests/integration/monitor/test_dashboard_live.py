"""The dashboard's files as a browser gets them from the monitor."""

from __future__ import annotations

import gzip
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import monitor as monitor_package
from tests.support.built_dashboard import ICON, INDEX, SCRIPT, served_from, write_dashboard
from tests.support.monitor_process import MonitorProcess, plain_client, started
from tests.support.patience import PATIENCE_SECONDS

APP, STYLE, FONT = "/assets/app-1a2b3c4d.js", "/assets/app-5e6f7a8b.css", "/assets/inter-9c0d1e2f.woff2"
SECRET = "what is beside the dashboard"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built dashboard, a secret beside it, and links to that."""
    place = tmp_path_factory.mktemp("place")
    built = write_dashboard(place / "dist")
    (place / "secret.txt").write_text(SECRET)
    (place / "dist-of-another").mkdir()
    (place / "dist-of-another" / "secret.txt").write_text(SECRET)
    (built / "assets" / "link.txt").symlink_to(place / "secret.txt")
    (built / "assets" / "folder").symlink_to(place)
    (built / "assets" / "loop.txt").symlink_to("loop.txt")
    return built


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[MonitorProcess]:
    with MonitorProcess(tmp_path_factory.mktemp("home"), "--dashboard", str(folder), token="a secret") as process:
        yield process


@pytest.fixture
def browser(monitor: MonitorProcess) -> Iterator[httpx.Client]:
    """Of a stranger: it has no token, and asks for the pages as one that has."""
    with plain_client(monitor.url) as stranger:
        yield stranger


@pytest.mark.parametrize(
    "path",
    ["/", "/index.html", "/runs", "/runs/", "/runs/blood.v2", "/runs/blood.v2/rounds", "/runs/a%2Fb.js", "/sites",
     "/start", "/compare?runs=a.b,c.d", "/compare/a.b", "/no-such-page", "/runs/..%2F..%2Fsecret.txt"],
)  # fmt: skip
def test_every_address_of_the_dashboard_is_answered_with_its_page(browser: httpx.Client, path: str) -> None:
    page = browser.get(path)

    assert (page.status_code, page.text) == (httpx.codes.OK, INDEX)
    assert page.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/assets/app-of-yesterday.js", "/assets/", "/assets", "/robots.txt", "/fonts/a.woff2",
                                  "/assets/%00", "/" + "x" * 5000 + ".js"])  # fmt: skip
def test_a_file_that_is_not_there_is_not_taken_for_a_page(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)

    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "nothing at" in answer.json()["error"]
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/runs/a/nothing", "/metrics/nothing"])
def test_what_the_api_does_not_have_is_its_problem_and_no_page(monitor: MonitorProcess, path: str) -> None:
    with monitor.client() as operator:
        answer = operator.get(path)

    assert answer.status_code == httpx.codes.NOT_FOUND
    assert set(answer.json()) == {"error", "state", "allowed"}


def test_the_api_still_says_which_method_it_takes_and_leads_to_its_address(monitor: MonitorProcess) -> None:
    with monitor.client() as operator:
        assert operator.delete("/api/health").status_code == httpx.codes.METHOD_NOT_ALLOWED
        assert operator.get("/api/runs/").headers["location"] == f"{monitor.url}/api/runs"


def test_the_pages_may_do_what_they_need_and_no_more(browser: httpx.Client) -> None:
    for path in ("/", "/runs/a", APP, "/favicon.svg"):
        headers = browser.get(path).headers
        rules = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
        assert rules == {
            "default-src": "'self'",
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "frame-src": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "object-src": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_report_keeps_its_own_stricter_rules_and_may_be_framed_by_a_page(monitor: MonitorProcess) -> None:
    report = monitor.home / "runs" / "reported" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<p>a report</p>")
    with monitor.client() as operator:
        headers = operator.get("/api/runs/reported/report").raise_for_status().headers

    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


@pytest.mark.parametrize(("path", "kind"), [(APP, "text/javascript; charset=utf-8"), (STYLE, "text/css; charset=utf-8"),
                                            (FONT, "font/woff2"), ("/favicon.svg", "image/svg+xml")])  # fmt: skip
def test_a_file_is_said_to_be_what_it_is(browser: httpx.Client, path: str, kind: str) -> None:
    assert browser.get(path).headers["content-type"] == kind


def test_what_has_its_content_in_its_name_is_kept_for_ever_and_the_rest_is_asked_for_again(
    browser: httpx.Client,
) -> None:
    for path in (APP, STYLE, FONT):
        assert browser.get(path).headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in ("/", "/runs/a", "/index.html", "/favicon.svg"):
        first = browser.get(path)
        assert first.headers["cache-control"] == "no-cache"
        for tag in (first.headers["etag"], f'"another", W/{first.headers["etag"]}'):
            again = browser.get(path, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (httpx.codes.NOT_MODIFIED, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert "content-security-policy" in again.headers
        assert browser.get(path, headers={"If-None-Match": '"another"'}).is_success


def test_another_build_is_seen_at_once(tmp_path: Path) -> None:
    built = write_dashboard(tmp_path / "dist")
    with MonitorProcess(tmp_path / "home", "--dashboard", str(built)) as monitor, monitor.client() as client:
        tag = client.get("/").headers["etag"]
        (built / "index.html").write_text("<p>another</p>")

        page = client.get("/", headers={"If-None-Match": tag})

        assert (page.status_code, page.text) == (httpx.codes.OK, "<p>another</p>")
        (built / "index.html").unlink()
        assert "no dashboard" in client.get("/").text


def test_text_is_compressed_for_who_takes_it(browser: httpx.Client) -> None:
    plain = browser.get(APP, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == SCRIPT

    with browser.stream("GET", APP, headers={"Accept-Encoding": "br, gzip"}) as zipped:
        sent = b"".join(zipped.iter_raw())

    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) == len(sent) < len(SCRIPT) / 10
    assert gzip.decompress(sent).decode() == SCRIPT
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != zipped.headers["etag"]
    for path in (FONT, "/"):  # compressed as it is; too small
        assert "content-encoding" not in browser.get(path).headers
    assert "content-encoding" not in browser.get(APP, headers={"Accept-Encoding": "gzip;q=0, identity"}).headers


def test_the_api_is_sent_as_it_was_before(monitor: MonitorProcess) -> None:
    with monitor.client() as operator:
        events = [started("long", number) for number in range(1, 200)]
        assert operator.post("/api/events", json={"events": events}).is_success
        answer = operator.get("/api/runs/long/events")

    assert len(answer.content) > 10_000
    assert "content-encoding" not in answer.headers
    assert "content-security-policy" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/runs/a", APP, "/favicon.svg", "/assets/nothing.js", "/api/nothing"])
def test_head_says_what_get_would(monitor: MonitorProcess, path: str) -> None:
    with monitor.client() as client:
        whole, head = client.get(path), client.head(path)

    for answer in (whole, head):
        del answer.headers["date"]
    assert (head.status_code, head.headers, head.content) == (whole.status_code, whole.headers, b"")


def test_nothing_is_written_to_a_page(browser: httpx.Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = browser.request(method, "/runs/a")
        assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
        assert answer.headers["allow"] == "GET, HEAD"


def raw(monitor: MonitorProcess, target: str) -> bytes:
    """What is answered to a path as it stands, which no client has put in order."""
    address = httpx.URL(monitor.url)
    with socket.create_connection((address.host, address.port or 0), timeout=PATIENCE_SECONDS) as connection:
        words = f"GET {target} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\nConnection: close\r\n\r\n"
        connection.sendall(words.encode("latin-1"))
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/assets/..%5c..%5csecret.txt",
        "/%252e%252e/secret.txt", "/../dist-of-another/secret.txt", "//etc/passwd", "/assets//etc/passwd",
        "/assets/link.txt", "/assets/loop.txt",
        "/assets/folder/secret.txt", "/file.d/../../secret.txt", "/assets/%c0%ae%c0%ae/secret.txt",
    ],
)  # fmt: skip
def test_no_path_and_no_link_leads_out_of_the_folder(monitor: MonitorProcess, target: str) -> None:
    answer = raw(monitor, target)

    assert SECRET.encode() not in answer
    assert b"root:" not in answer
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")) or INDEX.encode() in answer


def test_without_the_token_there_are_empty_pages_and_nothing_else(
    browser: httpx.Client, monitor: MonitorProcess
) -> None:
    assert browser.get("/runs/a").text == INDEX
    assert browser.get("/favicon.svg").text == ICON
    for path in ("/api/runs", "/api/runs/a/report", "/api/docs", "/api/openapi.json", "/api/nothing", "/metrics",
                 "//api/runs", "/api%2Fruns", "/assets/../api/runs"):  # fmt: skip
        answer = raw(monitor, path)
        assert answer.startswith(b"HTTP/1.1 401 ") or b"nothing at" in answer, (path, answer)
    for path in ("/", "/runs/a"):
        with (
            pytest.raises(InvalidStatus),
            connect(f"{monitor.url.replace('http', 'ws')}{path}", proxy=None, open_timeout=PATIENCE_SECONDS),
        ):
            pass


def test_another_origin_and_another_name_get_no_page(browser: httpx.Client) -> None:
    assert browser.get("/", headers={"Origin": "https://evil.example"}).status_code == httpx.codes.FORBIDDEN
    assert browser.get(APP, headers={"Host": "evil.example"}).status_code == httpx.codes.MISDIRECTED_REQUEST


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The monitor's package in a place of its own, as it was packed without a dashboard."""
    source = Path(monitor_package.__file__).parent
    return shutil.copytree(
        source, tmp_path / "place" / "monitor", ignore=shutil.ignore_patterns("static", "__pycache__")
    )


def test_without_a_dashboard_start_and_page_say_how_it_comes_to_be(package: Path) -> None:
    write_dashboard(package.parent / "dashboard" / "dist")  # of who knows whom: this is no checkout
    with served_from(package.parent) as (lines, client):
        assert lines[1].startswith("no dashboard: `make dashboard`")
        assert "Node" in lines[1]
        for path in ("/", "/runs/blood.v2"):
            page = client.get(path)
            assert page.status_code == httpx.codes.NOT_FOUND
            assert "make dashboard" in page.text
            assert "Node" in page.text
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "error" in client.get("/assets/app.js").json()
        assert client.get("/api/runs").is_success


def test_the_dashboard_of_the_package_is_found(package: Path) -> None:
    write_dashboard(package / "static")
    with served_from(package.parent) as (lines, client):
        assert lines[1] == f"dashboard at {client.base_url}/"
        assert client.get("/runs/a").text == INDEX
        assert client.get(APP).text == SCRIPT


def test_the_dashboard_that_was_built_in_the_checkout_is_found(package: Path) -> None:
    (package.parent / "pyproject.toml").touch()
    write_dashboard(package.parent / "dashboard" / "dist")
    with served_from(package.parent) as (_, client):
        assert client.get("/runs/a").text == INDEX


def test_another_folder_is_named_in_the_environment(package: Path, tmp_path: Path) -> None:
    write_dashboard(package / "static")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("<p>the other</p>")
    with served_from(package.parent, FEDFORGE_MONITOR_DASHBOARD=str(tmp_path / "other")) as (_, client):
        assert client.get("/").text == "<p>the other</p>"


def test_a_folder_without_a_dashboard_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "monitor", "--home", str(tmp_path / "home"), "--port", "0"]
    done = subprocess.run(
        [*words, "--dashboard", str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: there is no dashboard in {tmp_path}")
    assert not (tmp_path / "home").exists()
