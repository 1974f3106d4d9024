"""A run's log on its way to a monitor that comes and goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedforge_runtime.federation.superlink.address import free_port
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Delivery, Outbox, OutboxFiles
from fedforge_runtime.telemetry.reach import MonitorReach
from monitor.schema import NodeHeartbeat
from tests.e2e.command import wait_until
from tests.monitor_process import MonitorProcess


@pytest.fixture
def files(tmp_path: Path) -> OutboxFiles:
    return OutboxFiles(tmp_path / "events.jsonl", tmp_path / "outbox.json", tmp_path / "events-refused.jsonl")


def reach_of(url: str, said: list[str]) -> MonitorReach:
    return MonitorReach(MonitorAddress.parse(url), said.append, meanwhile="The test goes on.")


def beat(emitter: Emitter) -> None:
    emitter.emit(NodeHeartbeat, round_number=0, node_id="client-0")


def ids_of(log: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in log.read_text().splitlines()]


def kept(monitor: MonitorProcess, run_id: str) -> list[str]:
    with monitor.client() as client:
        answer = client.get(f"/api/runs/{run_id}/export")
        return [json.loads(line)["event_id"] for line in answer.text.splitlines()] if answer.is_success else []


def test_what_is_emitted_arrives_once_and_in_order_while_the_monitor_is_killed(
    tmp_path: Path, files: OutboxFiles
) -> None:
    said: list[str] = []
    with (
        MonitorProcess(tmp_path / "home") as monitor,
        Emitter(files.log, run_id="steady", role="client") as emitter,
    ):
        with Outbox(files, reach_of(monitor.url, said), run_id="steady"):
            for _ in range(3):
                for _ in range(100):
                    beat(emitter)
                wait_until(lambda: len(kept(monitor, "steady")) > 0, "the first events")
                monitor.kill()
                for _ in range(100):
                    beat(emitter)
                wait_until(lambda: any("unreachable since" in text for text in said), "the notice")
                monitor.start()
            wait_until(lambda: len(kept(monitor, "steady")) == 600, "all events")

        assert kept(monitor, "steady") == ids_of(files.log)
    assert any("reachable again" in text for text in said)
    assert not any("not all events" in text for text in said)


def test_a_monitor_that_never_comes_holds_nothing_up_and_what_is_missing_is_said(files: OutboxFiles) -> None:
    said: list[str] = []
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Emitter(files.log, run_id="alone", role="client") as emitter,
        Outbox(files, reach_of(url, said), run_id="alone"),
    ):
        for _ in range(10):
            beat(emitter)

    assert len(ids_of(files.log)) == 10
    assert sum("unreachable since" in text for text in said) == 1
    assert f"fedforge events import alone --monitor {url}" in said[-1]


def test_a_later_process_goes_on_where_an_earlier_one_ended(monitor: MonitorProcess, files: OutboxFiles) -> None:
    address = MonitorAddress.parse(monitor.url)
    with Emitter(files.log, run_id="handed-on", role="client") as emitter, MonitorClient(address) as client:
        beat(emitter)
        first = Delivery(files, client).send_next()
        beat(emitter)
        second = Delivery(files, client)
        sent = second.send_next()

        assert first is not None
        assert sent is not None
        assert (first.accepted, sent.accepted, sent.duplicates) == (1, 1, 0)
        assert second.send_next() is None
        files.cursor.write_text("{ damaged")
        again = Delivery(files, client).send_next()
        assert again is not None
        assert (again.accepted, again.duplicates) == (0, 2)


def test_a_corrupt_line_is_kept_aside_with_its_error_and_the_rest_arrives(
    monitor: MonitorProcess, files: OutboxFiles
) -> None:
    with (
        Emitter(files.log, run_id="corrupt", role="client") as emitter,
        MonitorClient(MonitorAddress.parse(monitor.url)) as client,
    ):
        beat(emitter)
        with files.log.open("a") as stream:
            stream.write('{"type": "node_heartbeat", "run\n')
            stream.write("[" * 50_000 + "\n")
        beat(emitter)
        sent = Delivery(files, client).send_next()

    assert sent is not None
    assert (sent.accepted, sent.refused) == (2, 2)
    lines = files.refused.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["line"] == '{"type": "node_heartbeat", "run'
    assert len(kept(monitor, "corrupt")) == 2


def test_a_line_that_is_being_written_waits(monitor: MonitorProcess, files: OutboxFiles) -> None:
    with (
        Emitter(files.log, run_id="half", role="client") as emitter,
        MonitorClient(MonitorAddress.parse(monitor.url)) as client,
    ):
        beat(emitter)
        whole = files.log.read_bytes()
        files.log.write_bytes(whole[:-20])
        delivery = Delivery(files, client)

        assert delivery.send_next() is None
        files.log.write_bytes(whole)
        sent = delivery.send_next()

    assert sent is not None
    assert sent.accepted == 1
