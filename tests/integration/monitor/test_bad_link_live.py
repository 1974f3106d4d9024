"""Between a run and its monitor is a network that fails, and a proxy that answers in the monitor's place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from fedforge_pipelines import claim
from fedforge_runtime.commands.operation import is_live
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.runs.claims import Claimant
from fedforge_runtime.runs.watch_run import follow
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Outbox
from fedforge_runtime.telemetry.reach import MonitorReach
from fedforge_runtime.telemetry.remote_control import RemoteControl
from monitor.schema import NodeHeartbeat, RunStarted
from tests.e2e.command import wait_until
from tests.support.bad_link import BadLink
from tests.support.folding import own_event_ids
from tests.support.monitor_process import MonitorProcess, of_server, started
from tests.support.patience import PATIENCE_SECONDS

PROBLEM = json.dumps({"error": "this monitor needs its token.", "state": None, "allowed": None}).encode()
NOT_FOUND = json.dumps({"error": "there is no run here.", "state": None, "allowed": None}).encode()
FAULTS: dict[str, Callable[[BadLink], None]] = {
    "html": lambda link: link.answer(200),
    "invalid JSON": lambda link: link.answer(200, {}, b'{"desired": ', content_type="application/json"),
    "other JSON": lambda link: link.answer(200, {}, b'{"status": "ok"}', content_type="application/json"),
    "an empty object": lambda link: link.answer(200, {}, b"{}", content_type="application/json"),
    "an empty list": lambda link: link.answer(200, {}, b"[]", content_type="application/json"),
    "301": lambda link: link.answer(301, {"Location": "http://elsewhere.example/"}),
    "302": lambda link: link.answer(302, {"Location": "http://login.example/"}),
    "307": lambda link: link.answer(307, {"Location": "http://elsewhere.example/"}),
    "400": lambda link: link.answer(400),
    "401 of a proxy": lambda link: link.answer(401),
    "401 of the monitor": lambda link: link.answer(401, {}, PROBLEM, content_type="application/json"),
    "403": lambda link: link.answer(403),
    "404 of a proxy": lambda link: link.answer(404),
    "404 of the monitor": lambda link: link.answer(404, {}, NOT_FOUND, content_type="application/json"),
    "408": lambda link: link.answer(408),
    "413": lambda link: link.answer(413),
    "429 with seconds": lambda link: link.answer(429, {"Retry-After": "1"}),
    "429 with a date": lambda link: link.answer(429, {"Retry-After": "Mon, 06 Nov 1995 08:49:37 GMT"}),
    "502": lambda link: link.answer(502),
    "too short": lambda link: link.answer(200, {"Content-Length": "100000"}),
    "no HTTP": lambda link: link.answer_bytes(b"220 smtp.example ESMTP\r\n"),
    "reset": lambda link: link.reset(),
    "cut": lambda link: link.cut_answers(after=30),
    "refused": lambda link: link.refuse(),
}


@pytest.fixture
def link(monitor: MonitorProcess) -> Iterator[BadLink]:
    with BadLink(int(monitor.url.rpartition(":")[2])) as link:
        yield link


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def reach(link: BadLink, said: list[str]) -> MonitorReach:
    return MonitorReach(MonitorAddress.parse(link.url), said.append, meanwhile="The test goes on.")


@pytest.fixture
def files(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def ids_of(log: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in log.read_text().splitlines()]


def command(client: httpx.Client, run_id: str, name: str) -> None:
    body = {"command": name, "given_by": "a test"}
    client.post(f"/api/runs/{run_id}/commands", json=body).raise_for_status()


def beat(emitter: Emitter) -> None:
    emitter.emit(NodeHeartbeat, round_number=0, node_id="client-0")


@pytest.fixture
def answers_may_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for one that does not come does not end within a test's patience."""
    defaults = MonitorClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", 2 * PATIENCE_SECONDS)
    monkeypatch.setattr("fedforge_runtime.telemetry.remote_control._ANSWER_SECONDS", 2 * PATIENCE_SECONDS)


def struck(link: BadLink, times: int) -> None:
    wait_until(lambda: link.struck >= times, "the fault to be met")


def test_a_run_hears_and_is_heard_after_whatever_a_network_answers(
    client: httpx.Client, link: BadLink, reach: MonitorReach, said: list[str], files: RunFolder
) -> None:
    with (
        Emitter(files.events, run_id="tossed", role="server") as emitter,
        Outbox(files, reach, run_id="tossed"),
        RemoteControl(reach, run_id="tossed", attempt=1) as control,
    ):
        emitter.emit(RunStarted, round_number=0, node_id="server", engine="inprocess", rounds_total=3, clients=2)
        wait_until(lambda: len(own_event_ids(client, "tossed")) == 1, "the first event")
        for number, (name, strike) in enumerate(FAULTS.items(), start=1):
            before = len(said)
            strike(link)
            beat(emitter)
            if name == "refused":
                wait_until(lambda at=before: len(said) > at, "the notice")  # type: ignore[misc]
            else:
                struck(link, 3)  # each thread has met it, and one a second time
            link.pass_on()
            wait_until(lambda: "reachable again" in said[-1], f"the end of {name}")
            wait_until(lambda count=number + 1: len(own_event_ids(client, "tossed")) == count, "the event")  # type: ignore[misc]
        command(client, "tossed", "pause")
        wait_until(lambda: control.desired() == "pause", "the pause")
        wait_until(lambda: own_event_ids(client, "tossed") == ids_of(files.events), "all events")

    assert not files.refused_events.exists()
    assert not any("not all events" in text for text in said)
    assert any("HTTP 307 to http://elsewhere.example/" in text for text in said)
    assert sum("still unreachable" not in text and "unreachable since" in text for text in said) == sum(
        "reachable again" in text for text in said
    )


def test_a_token_that_is_not_taken_is_said_and_tried_until_it_is(
    tmp_path: Path, files: RunFolder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDFORGE_MONITOR_TOKEN", "first")
    with (
        MonitorProcess(tmp_path / "home", token="second") as other,
        Emitter(files.events, run_id="token", role="client") as emitter,
    ):
        reach = MonitorReach(MonitorAddress.parse(other.url), said.append, meanwhile="The test goes on.")
        with Outbox(files, reach, run_id="token"):
            beat(emitter)
            wait_until(lambda: bool(said), "the notice")
            other.end()
            changed = MonitorProcess(tmp_path / "home", "--port", other.url.rpartition(":")[2], token="first")
            with changed, changed.client() as client:
                wait_until(lambda: len(own_event_ids(client, "token")) == 1, "the event")

    assert "it does not take the token of this process, FEDFORGE_MONITOR_TOKEN (HTTP 401)" in said[0]


class _Narrow(BaseHTTPRequestHandler):
    """A monitor behind a proxy that takes no large bodies, and none with more than so many bytes."""

    taken: ClassVar[list[str]]
    largest = 3000
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) > self.largest:
            self._answer(413, "text/html", b"<html>Request Entity Too Large</html>")
            return
        events = json.loads(body)["events"]
        type(self).taken += [event["event_id"] for event in events]
        results = [{"outcome": "accepted", "error": None} for _ in events]
        held = {"database": "0" * 32, "positions": []}
        self._answer(200, "application/json", json.dumps({"results": results, "held": held}).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_a_batch_that_is_too_big_is_sent_in_parts(files: RunFolder, said: list[str]) -> None:
    class Handler(_Narrow):
        taken: ClassVar[list[str]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reach = MonitorReach(
            MonitorAddress.parse(f"http://127.0.0.1:{server.server_port}"), said.append, meanwhile="The test goes on."
        )
        with Emitter(files.events, run_id="narrow", role="client") as emitter:
            for _ in range(100):
                beat(emitter)
            with Outbox(files, reach, run_id="narrow"):
                wait_until(lambda: len(Handler.taken) == 100, "all events")
    finally:
        server.shutdown()
        server.server_close()

    assert Handler.taken == ids_of(files.events)
    assert not files.refused_events.exists()
    assert said == []


def test_a_line_that_alone_is_too_big_is_kept_aside_and_said_and_the_rest_arrives(
    client: httpx.Client, reach: MonitorReach, said: list[str], files: RunFolder
) -> None:
    with Emitter(files.events, run_id="giant", role="client") as emitter:
        beat(emitter)
        with files.events.open("a") as stream:
            stream.write(json.dumps("x" * 5_000_000) + "\n")
            stream.write('{"type": "node_heartbeat", "round": NaN}\n')
            stream.write('{"type": "node_heartbeat", "run_id": "\\ud800", "event_id": "\\ud800"}\n')
        beat(emitter)
        with Outbox(files, reach, run_id="giant"):
            wait_until(lambda: len(own_event_ids(client, "giant")) == 2, "the events around it")

    refused = [json.loads(line) for line in files.refused_events.read_text().splitlines()]
    assert len(refused) == 3
    assert "4,194,304 bytes" in refused[0]["error"]
    assert "the monitor refuses an event of this run" in said[0]
    kept = f"3 events were refused by the monitor and are kept in {files.refused_events}; the first"
    assert said[-1].startswith(kept)


@pytest.mark.usefixtures("answers_may_take_for_ever")
@pytest.mark.parametrize("end", [RunStoppedError("stopped."), None], ids=["stopped", "completed"])
@pytest.mark.parametrize("strike", ["stall", "asked to wait"])
def test_the_end_of_a_run_waits_for_no_answer(
    link: BadLink, reach: MonitorReach, said: list[str], files: RunFolder, strike: str, end: Exception | None
) -> None:
    if strike == "stall":
        link.stall()
    else:
        link.answer(429, {"Retry-After": "3600"})

    def stop() -> None:
        with (
            suppress(RunStoppedError),
            Emitter(files.events, run_id="left", role="client") as emitter,
            Outbox(files, reach, run_id="left"),
            RemoteControl(reach, run_id="left", attempt=1),
        ):
            beat(emitter)
            struck(link, 2)
            if end is not None:
                raise end

    ending = threading.Thread(target=stop, daemon=True)
    ending.start()
    struck(link, 2)
    ending.join(PATIENCE_SECONDS)

    assert not ending.is_alive()
    assert "fedforge events import left" in said[-1]


@pytest.mark.usefixtures("answers_may_take_for_ever")
def test_a_resume_waits_for_no_answer_of_its_monitor(link: BadLink) -> None:
    link.stall()
    found: list[bool] = []
    looking = threading.Thread(target=lambda: found.append(is_live("any", link.url)), daemon=True)
    looking.start()
    struck(link, 1)
    looking.join(PATIENCE_SECONDS)

    assert found == [False]


def test_an_agent_goes_on_after_a_request_of_its_was_refused(
    client: httpx.Client, link: BadLink, said: list[str], tmp_path: Path
) -> None:
    events = [started("elsewhere"), of_server("elsewhere", 2, "run_failed", reason="a test")]
    assert client.post("/api/events", json={"events": events}).is_success
    command(client, "elsewhere", "resume")
    claimant = Claimant(MonitorAddress.parse(link.url), Home(tmp_path), name="an agent", say=said.append)
    link.answer(403)
    serving = threading.Thread(target=lambda: claimant.serve(once=True), daemon=True)
    serving.start()
    struck(link, 1)
    link.answer(401, {}, PROBLEM, content_type="application/json")
    struck(link, 1)
    link.answer(421, {}, PROBLEM, content_type="application/json")
    struck(link, 1)
    link.pass_on()
    serving.join(PATIENCE_SECONDS)

    assert not serving.is_alive()
    assert client.get("/api/runs/elsewhere").json()["state"] == "failed"
    assert "elsewhere: claimed, attempt 2" in said
    assert "unreachable since" in said[0]


@pytest.mark.usefixtures("answers_may_take_for_ever")
def test_an_agent_that_waits_for_an_answer_hears_that_it_shall_end(
    link: BadLink, said: list[str], tmp_path: Path
) -> None:
    claimant = Claimant(MonitorAddress.parse(link.url), Home(tmp_path), name="an agent", say=said.append)
    link.stall()
    serving = threading.Thread(target=claimant.serve, daemon=True)
    serving.start()
    struck(link, 1)
    claimant.stop.set()
    serving.join(PATIENCE_SECONDS)

    assert not serving.is_alive()


def test_a_claim_outlasts_what_a_proxy_answers_so_that_no_second_attempt_is_claimed(
    client: httpx.Client, link: BadLink
) -> None:
    request = {"phase": "blood"}
    held = claim.hold(MonitorAddress.parse(link.url), "claimed", request, {"claimant": "a test", "url": None})

    def expires() -> str:
        answer: str = client.get("/api/runs/claimed").json()["lease_expires_at"]
        return answer

    try:
        for strike in (FAULTS["html"], FAULTS["429 with seconds"]):
            strike(link)
            struck(link, 1)
        before = expires()
        link.pass_on()
        wait_until(lambda: expires() > before, "the renewal")
    finally:
        claim.release("claimed")
    assert held.attempt == 1


def test_a_claim_that_is_told_to_wait_waits(client: httpx.Client, link: BadLink) -> None:
    link.answer(429, {"Retry-After": "0"})
    taken: list[claim.Claim] = []

    def take() -> None:
        taken.append(claim.hold(MonitorAddress.parse(link.url), "patient", {"phase": "blood"}, {"claimant": "a test"}))

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    struck(link, 1)
    link.pass_on()
    taking.join(PATIENCE_SECONDS)
    claim.release("patient")

    assert [each.attempt for each in taken] == [1]
    assert client.get("/api/runs/patient").json()["claimed_by"] == "a test"


def test_who_watches_a_run_goes_on_after_an_outage(client: httpx.Client, link: BadLink, said: list[str]) -> None:
    assert client.post("/api/events", json={"events": [started("watched")]}).is_success
    address = MonitorAddress.parse(link.url)
    watching = threading.Thread(target=lambda: follow(address, "watched", say=said.append), daemon=True)
    watching.start()
    wait_until(lambda: len(said) == 1, "the first event")
    for name in ("html", "401 of the monitor", "403", "404 of the monitor", "reset"):
        strike = FAULTS[name]
        strike(link)
        struck(link, 1)
    events = [of_server("watched", 2, "run_failed", reason="a test")]
    assert client.post("/api/events", json={"events": events}).is_success
    link.pass_on()
    watching.join(PATIENCE_SECONDS)

    assert said[-1] == "watched is failed: a test"
    assert sum("The run has failed: a test" in text for text in said) == 1
