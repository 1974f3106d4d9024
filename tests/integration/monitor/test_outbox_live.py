"""A run's log on its way to a monitor that comes and goes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedforge_runtime.engines.address import free_port
from fedforge_runtime.errors import MonitorAwayError
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.outbox import Delivery, Outbox
from fedforge_runtime.telemetry.reach import MonitorReach
from monitor.schema import NodeHeartbeat, RunCompleted, RunRequested, RunStarted
from tests.e2e.command import wait_until
from tests.support.bad_link import BadLink
from tests.support.folding import own_event_ids
from tests.support.monitor_process import MonitorProcess


@pytest.fixture
def files(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def reach_of(url: str, said: list[str]) -> MonitorReach:
    return MonitorReach(MonitorAddress.parse(url), said.append, meanwhile="The test goes on.")


def beat(emitter: Emitter) -> None:
    emitter.emit(NodeHeartbeat, round_number=0, node_id="client-0")


def ids_of(log: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in log.read_text().splitlines()]


def kept(monitor: MonitorProcess, run_id: str) -> list[str]:
    with monitor.client() as client:
        return own_event_ids(client, run_id)


def test_what_is_emitted_arrives_once_and_in_order_while_the_monitor_is_killed(
    tmp_path: Path, files: RunFolder
) -> None:
    said: list[str] = []
    with (
        MonitorProcess(tmp_path / "home") as monitor,
        Emitter(files.events, run_id="steady", role="client") as emitter,
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

        assert kept(monitor, "steady") == ids_of(files.events)
    assert any("reachable again" in text for text in said)
    assert not any("not all events" in text for text in said)


def begin(emitter: Emitter) -> None:
    """What the run's page at the monitor shows at once."""
    emitter.emit(RunRequested, round_number=0, node_id="server", request={"phase": "blood"})
    emitter.emit(RunStarted, round_number=0, node_id="server", engine="inprocess", rounds_total=3, clients=2)


def lose_all(monitor: MonitorProcess, copy: Path) -> None:
    shutil.rmtree(monitor.database.parent)


def put_back_the_copy(monitor: MonitorProcess, copy: Path) -> None:
    shutil.rmtree(monitor.database.parent)
    shutil.copytree(copy, monitor.database.parent)


@pytest.mark.parametrize("fate", [lose_all, put_back_the_copy])
def test_a_database_that_is_lost_or_put_back_to_a_copy_in_mid_run_has_the_whole_run_in_the_end(
    tmp_path: Path, files: RunFolder, fate: Callable[[MonitorProcess, Path], None]
) -> None:
    said: list[str] = []
    copy = tmp_path / "copy"
    with (
        MonitorProcess(tmp_path / "home") as monitor,
        Emitter(files.events, run_id="twice", role="server") as server,
        Emitter(files.events, run_id="twice", role="client") as client,
        Outbox(files, reach_of(monitor.url, said), run_id="twice"),
    ):
        begin(server)
        for _ in range(40):
            beat(client)
        wait_until(lambda: len(kept(monitor, "twice")) == 42, "the first events")
        monitor.end()
        shutil.copytree(monitor.database.parent, copy)
        monitor.start()
        for _ in range(700):
            beat(client)
        wait_until(lambda: len(kept(monitor, "twice")) == 742, "what the copy has not")
        monitor.kill()
        fate(monitor, copy)
        beat(server)  # another emitter than that whose events are missing
        monitor.start()
        for _ in range(20):
            beat(client)
        server.emit(RunCompleted, round_number=3, node_id="server", model_sha256="0f" * 32)
        wait_until(lambda: len(kept(monitor, "twice")) == 764, "all events")

        assert kept(monitor, "twice") == ids_of(files.events)
        with monitor.client() as asked:
            run = asked.get("/api/runs/twice").json()
            assert asked.get("/api/runs/twice/snapshot").json()["missing"] == []
    assert (run["phase"], run["clients"], run["request"]["phase"]) == ("blood", 2, "blood")
    assert run["state"] == "completed"
    assert sum("holds less of this run than it had taken" in text for text in said) == 1
    assert not any("not all events" in text for text in said)


def test_a_later_process_notices_that_the_database_was_lost_meanwhile(tmp_path: Path, files: RunFolder) -> None:
    with MonitorProcess(tmp_path / "home") as monitor, Emitter(files.events, run_id="later", role="client") as emitter:
        with MonitorClient(MonitorAddress.parse(monitor.url)) as client:
            for _ in range(3):
                beat(emitter)
            assert Delivery(files, client).send_next() is not None
        monitor.end()
        shutil.rmtree(monitor.database.parent)
        monitor.start()
        beat(emitter)
        with MonitorClient(MonitorAddress.parse(monitor.url)) as client:
            delivery = Delivery(files, client)
            noticed, sent = delivery.send_next(), delivery.send_next()

        assert noticed is not None
        assert noticed.again > 0
        assert sent is not None
        assert (sent.accepted, sent.duplicates) == (4, 0)
        assert kept(monitor, "later") == ids_of(files.events)


def test_two_databases_that_answer_in_turn_are_no_reason_to_ask_without_a_pause(
    tmp_path: Path, monitor: MonitorProcess, files: RunFolder
) -> None:
    with (
        MonitorProcess(tmp_path / "home") as other,
        Emitter(files.events, run_id="in-turn", role="client") as emitter,
        BadLink(int(monitor.url.rpartition(":")[2])) as link,
        MonitorClient(MonitorAddress.parse(link.url)) as client,
    ):
        delivery = Delivery(files, client)

        def turn(to: MonitorProcess) -> None:
            link.lead_to(int(to.url.rpartition(":")[2]))

        for _ in range(3):
            beat(emitter)
        assert delivery.send_next() is not None
        turn(other)
        beat(emitter)
        noticed = delivery.send_next()
        turn(monitor)
        with pytest.raises(MonitorAwayError, match="as if several answered in turn"):
            delivery.send_next()
        while delivery.send_next() is not None:
            pass

        assert noticed is not None
        assert noticed.again > 0
        assert kept(monitor, "in-turn") == ids_of(files.events)


def test_a_monitor_that_never_comes_holds_nothing_up_and_what_is_missing_is_said(files: RunFolder) -> None:
    said: list[str] = []
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Emitter(files.events, run_id="alone", role="client") as emitter,
        Outbox(files, reach_of(url, said), run_id="alone"),
    ):
        for _ in range(10):
            beat(emitter)

    assert len(ids_of(files.events)) == 10
    assert sum("unreachable since" in text for text in said) == 1
    assert f"fedforge events import alone --monitor {url}" in said[-1]


def test_a_later_process_goes_on_where_an_earlier_one_ended(monitor: MonitorProcess, files: RunFolder) -> None:
    address = MonitorAddress.parse(monitor.url)
    with Emitter(files.events, run_id="handed-on", role="client") as emitter, MonitorClient(address) as client:
        beat(emitter)
        first = Delivery(files, client).send_next()
        beat(emitter)
        second = Delivery(files, client)
        sent = second.send_next()

        assert first is not None
        assert sent is not None
        assert (first.accepted, sent.accepted, sent.duplicates) == (1, 1, 0)
        assert second.send_next() is None
        files.outbox.write_text("{ damaged")
        again = Delivery(files, client).send_next()
        assert again is not None
        assert (again.accepted, again.duplicates) == (0, 2)


def test_a_corrupt_line_is_kept_aside_with_its_error_and_the_rest_arrives(
    monitor: MonitorProcess, files: RunFolder
) -> None:
    with (
        Emitter(files.events, run_id="corrupt", role="client") as emitter,
        MonitorClient(MonitorAddress.parse(monitor.url)) as client,
    ):
        beat(emitter)
        with files.events.open("a") as stream:
            stream.write('{"type": "node_heartbeat", "run\n')
            stream.write("[" * 50_000 + "\n")
        beat(emitter)
        sent = Delivery(files, client).send_next()

    assert sent is not None
    assert (sent.accepted, sent.refused) == (2, 2)
    lines = files.refused_events.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["line"] == '{"type": "node_heartbeat", "run'
    assert len(kept(monitor, "corrupt")) == 2


def test_a_line_that_is_being_written_waits(monitor: MonitorProcess, files: RunFolder) -> None:
    with (
        Emitter(files.events, run_id="half", role="client") as emitter,
        MonitorClient(MonitorAddress.parse(monitor.url)) as client,
    ):
        beat(emitter)
        whole = files.events.read_bytes()
        files.events.write_bytes(whole[:-20])
        delivery = Delivery(files, client)

        assert delivery.send_next() is None
        files.events.write_bytes(whole)
        sent = delivery.send_next()

    assert sent is not None
    assert sent.accepted == 1
