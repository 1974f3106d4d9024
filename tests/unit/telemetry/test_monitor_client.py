"""Whatever comes back in place of a monitor's answer is one of two errors, which say whether to try again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import AskError, ConfigError, MonitorAwayError, MonitorRefusedError
from fedforge_runtime.telemetry.answers import Outcomes, Wanted
from fedforge_runtime.telemetry.monitor_client import TOKEN, MonitorAddress, MonitorClient
from tests.support.bad_link import BadLink

JSON = "application/json"


@pytest.fixture(scope="module")
def link() -> Iterator[BadLink]:
    with BadLink(1) as link:  # nothing is behind it: every answer is its own
        yield link


def ask(link: BadLink, patience: float = 30.0) -> Wanted:
    with MonitorClient(MonitorAddress.parse(link.url), patience=patience) as client:
        return client.ask("GET", "/api/runs/any/desired", Wanted)


def refusal(text: str) -> bytes:
    """As the monitor refuses."""
    return json.dumps({"error": text, "state": None, "allowed": None}).encode()


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (200, b"<html>Sign in</html>", "text/html"),
        (200, b"<html>Sign in</html>", JSON),
        (200, b'{"desired": "run"', JSON),
        (200, b"", JSON),
        (200, b"[" * 100_000, JSON),
        (200, b"\xff\xfe\x00", JSON),
        (200, b"null", JSON),
        (200, b"{}", JSON),
        (200, b"[]", JSON),
        (200, b'["run"]', JSON),
        (200, b'{"wanted": "run"}', JSON),
        (200, b'{"desired": "explode"}', JSON),
        (204, b"", JSON),
        (301, b"<html>moved</html>", "text/html"),
        (302, b"", "text/html"),
        (400, b"<html>Bad Request</html>", "text/html"),
        (401, b"<html>Unauthorized</html>", "text/html"),
        (401, refusal("this monitor needs its token."), JSON),
        (403, b'{"error": "blocked by policy"}', JSON),
        (404, b"<html>Not Found</html>", "text/html"),
        (407, b"", "text/plain"),
        (408, refusal("nothing more of the request came within 10 s."), JSON),
        (413, b"<html>Request Entity Too Large</html>", "text/html"),
        (429, b"slow down", "text/plain"),
        (429, refusal("slow down"), JSON),
        (500, b"Internal Server Error", "text/plain"),
        (502, b"<html>Bad Gateway</html>", "text/html"),
        (503, refusal("the database cannot be written now."), JSON),
    ],
)
def test_what_is_no_word_of_the_monitor_or_passes_makes_sense_to_try_again(
    link: BadLink, status: int, body: bytes, content_type: str
) -> None:
    link.answer(
        status, {"Location": "http://login.example/"} if status in (301, 302) else {}, body, content_type=content_type
    )

    with pytest.raises(MonitorAwayError) as caught:
        ask(link)

    assert caught.value.status == status
    assert caught.value.cause
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("wrong", "does not take the token of this process, FEDFORGE_MONITOR_TOKEN: this monitor needs its token."),
        ("", "asks for a token, and FEDFORGE_MONITOR_TOKEN is not set: this monitor needs its token."),
    ],
)
def test_a_refusal_says_whether_there_was_a_token_and_which(
    link: BadLink, token: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, token)
    link.answer(401, {}, refusal("this monitor needs its token."), content_type=JSON)

    with pytest.raises(MonitorAwayError, match=re.escape(words)):
        ask(link)


def test_what_is_not_a_monitor_is_called_so(link: BadLink) -> None:
    link.answer(200)

    with pytest.raises(MonitorAwayError, match=r"what answers there is not a monitor: HTTP 200, text/html\."):
        ask(link)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_its_target_and_is_not_followed(link: BadLink, status: int) -> None:
    with BadLink(1) as elsewhere:
        elsewhere.answer(200, {}, b'{"desired": "stop"}', content_type=JSON)
        link.answer(status, {"Location": f"{elsewhere.url}/new"})

        with pytest.raises(MonitorAwayError) as caught:
            ask(link)

        assert f"HTTP {status} to {elsewhere.url}/new" in caught.value.cause
        assert f"has moved to {elsewhere.url}/new" in caught.value.remedy
        assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 421, 422])
def test_what_the_monitor_itself_refuses_is_its_refusal_in_its_words(link: BadLink, status: int) -> None:
    link.answer(status, {}, refusal("there is no run 'any' here."), content_type=JSON)

    with pytest.raises(MonitorRefusedError, match="there is no run 'any' here") as caught:
        ask(link)

    assert caught.value.status == status


def test_a_body_that_is_shorter_or_packed_otherwise_than_announced_is_no_answer(link: BadLink) -> None:
    wrong: list[dict[str, str]] = [{"Content-Length": "1000"}, {"Content-Encoding": "gzip"}, {"Content-Length": "-1"}]
    for headers in wrong:
        link.answer(200, headers, b'{"desired": "run"}', content_type=JSON)
        with pytest.raises(MonitorAwayError):
            ask(link)


@pytest.mark.parametrize("strike", ["reset", "refuse", "cut_answers"])
def test_a_connection_that_is_cut_or_refused_is_no_answer(link: BadLink, strike: str) -> None:
    getattr(link, strike)()

    with pytest.raises(MonitorAwayError) as caught:
        ask(link)

    assert caught.value.status is None


def test_an_answer_that_does_not_come_or_does_not_end_is_given_up(link: BadLink) -> None:
    link.stall()
    with pytest.raises(MonitorAwayError):
        ask(link, patience=0.2)
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    link.answer_bytes(endless + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 70)
    with pytest.raises(MonitorAwayError, match="without end"):
        ask(link)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda text: b"HTTP/1.1 200 OK\r\n" + text),
        st.binary(max_size=60).map(lambda text: b"HTTP/1.1 200 OK\r\nContent-Length: " + text + b"\r\n\r\n{}"),
        st.binary(max_size=60).map(lambda text: b"HTTP/1.1 200 OK\r\nContent-Type: " + text + b"\r\n\r\n" + text),
        st.binary(max_size=60).map(lambda text: b"HTTP/1.1 302 OK\r\nLocation: http://" + text + b"\r\n\r\n"),
        st.binary(max_size=60).map(lambda text: b"HTTP/1.1 429 OK\r\nRetry-After: " + text + b"\r\n\r\n"),
    )
)
def test_whatever_bytes_come_it_is_one_of_the_two_errors(link: BadLink, content: bytes) -> None:
    link.answer_bytes(content)

    with pytest.raises(AskError):
        ask(link)


@pytest.mark.parametrize(
    ("wait", "least", "most"),
    [
        ("7", 7, 7),
        (timedelta(hours=1), 1800, 3600),
        (timedelta(hours=-1), 0, 0),
        ("9" * 400, 1e300, float("inf")),
    ],
    ids=["seconds", "a date", "a date that has passed", "too many seconds"],
)
def test_it_hears_how_long_it_shall_wait(link: BadLink, wait: str | timedelta, least: float, most: float) -> None:
    for status in (429, 503):
        date = utc_now() + wait if isinstance(wait, timedelta) else None
        link.answer(status, {"Retry-After": format_datetime(date, usegmt=True) if date else str(wait)})
        with pytest.raises(MonitorAwayError) as caught:
            ask(link)

        assert caught.value.retry_after is not None
        assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "Mon, 99 Foo 2026 99:99:99 GMT", "²"])
def test_a_time_that_is_none_is_none(link: BadLink, text: str) -> None:
    link.answer(429, {"Retry-After": text})

    with pytest.raises(MonitorAwayError) as caught:
        ask(link)

    assert caught.value.retry_after is None


def test_a_token_that_no_header_carries_is_refused_before_anything_is_asked(
    link: BadLink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(TOKEN, "geheim€")

    with pytest.raises(ConfigError, match=TOKEN):
        ask(link)


def test_an_answer_has_what_is_theirs_beside_what_is_asked_for(link: BadLink) -> None:
    held = {"database": "0" * 32, "positions": [], "since": "today"}
    document = {"results": [{"outcome": "accepted", "error": None, "seq": 3}], "held": held}
    link.answer(200, {}, json.dumps(document).encode(), content_type=JSON)

    with MonitorClient(MonitorAddress.parse(link.url)) as client:
        assert client.ask("POST", "/api/events", Outcomes, json={}) == document
