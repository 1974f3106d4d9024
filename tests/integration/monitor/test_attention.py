"""What needs somebody, at moments of the test's choosing: one definition of each word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitor.attention import Need, attention
from monitor.control import Command
from monitor.offers import Offer, OfferView
from tests.support.monitor_in_hand import MonitorInHand, in_hand
from tests.support.monitor_process import MonitorProcess, event_of, of_server, offer

PLENTY = 10**12
SERVER = {"engine": "inprocess", "rounds_total": 3, "clients": 3}


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[MonitorInHand]:
    with in_hand(tmp_path) as monitor:
        yield monitor


def needs(monitor: MonitorInHand, free_bytes: int | None = PLENTY) -> list[Need]:
    with monitor.database.reading() as session:
        return attention(session, monitor.now, free_bytes=free_bytes).needs


def kinds(monitor: MonitorInHand) -> list[tuple[str, str | None]]:
    return [(need.kind.value, need.node_id or need.run_id) for need in needs(monitor)]


def test_a_run_that_only_beats_is_stalled_after_three_times_its_longest_pause(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", **SERVER)
    monitor.hear(event_of("run", 1, "client_train_started", round=1))
    monitor.seconds = 30
    monitor.hear(event_of("run", 2, "client_train_completed", round=1))
    for monitor.seconds in range(31, 121):
        monitor.hear(event_of("run", int(monitor.seconds), node_id="client-1"))
    assert kinds(monitor) == []  # 90 s: three times the 30 s of the first training

    monitor.seconds = 121
    monitor.hear(event_of("run", 200, node_id="client-1"))
    (need,) = needs(monitor)

    assert (need.kind, need.run_id, (need.since - monitor.now).total_seconds()) == ("stalled", "run", -91)
    assert "nothing but heartbeats for 91 s while the sites train; 90 s" in need.what


def test_a_run_is_not_stalled_within_the_first_minute_nor_while_it_is_paused(monitor: MonitorInHand) -> None:
    monitor.say("early", "run_started", **SERVER)
    monitor.say("paused", "run_started", **SERVER)
    monitor.give("paused", Command.PAUSE)
    monitor.say("paused", "run_paused")
    for monitor.seconds in (59, 3600):
        for number, run_id in enumerate(("early", "paused")):
            monitor.hear(event_of(run_id, int(monitor.seconds) + number, node_id="server", role="server"))
        assert kinds(monitor) == ([] if monitor.seconds == 59 else [("stalled", "early")])


def test_a_run_that_failed_and_one_that_is_lost_are_named_until_they_are_resumed(monitor: MonitorInHand) -> None:
    monitor.say("failed", "run_started", **SERVER)
    monitor.say("failed", "run_failed", reason="too few sites")
    monitor.say("lost", "run_started", **SERVER)
    monitor.seconds = 31
    monitor.look()
    assert kinds(monitor) == [("lost", "lost"), ("failed", "failed")]
    assert [need.what for need in needs(monitor)][1] == "the run has failed: too few sites"
    assert all("fedforge resume" in need.next_step for need in needs(monitor))

    for run_id in ("failed", "lost"):
        monitor.say(run_id, "run_resumed", attempt=2)
    assert kinds(monitor) == []


def test_a_request_that_nobody_takes_up_is_named_after_a_moment(monitor: MonitorInHand) -> None:
    monitor.ask_for("run")
    assert kinds(monitor) == []
    monitor.seconds = 11
    assert kinds(monitor) == [("unclaimed", "run")]
    monitor.claim("run")
    assert kinds(monitor) == []


def test_a_request_that_nobody_who_is_there_takes_is_named_with_the_reason_of_each(monitor: MonitorInHand) -> None:
    monitor.ask_for("run")
    monitor.seconds = 11
    held = Offer.model_validate(offer(phases=[{"name": "path"}]))
    view = OfferView(claimant="agent on ulm", offered_at=monitor.now, expires_at=monitor.now, offer=held)

    with monitor.database.reading() as session:
        (need,) = attention(session, monitor.now, free_bytes=PLENTY, offers=[view]).needs

    assert need.kind == "unclaimed"
    assert "agent on ulm: it has no phase 'blood'; it has path." in need.what
    assert need.next_step.startswith("Start who can carry it out")


def test_a_site_whose_heartbeats_cease_at_work_is_silent_and_one_that_waits_is_not(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", **SERVER)
    monitor.hear(event_of("run", 1, node_id="client-0"), event_of("run", 2, node_id="client-1"))
    monitor.hear(
        event_of("run", 3, "client_update_uploaded", node_id="client-1", role="server", task="train"),
        event_of("run", 4, "model_dispatched", node_id="client-2", role="server", task="train"),
    )
    monitor.seconds = 31
    monitor.hear(event_of("run", 5, node_id="server", role="server"))

    assert kinds(monitor) == [("silent_site", "client-0")]


def test_events_that_were_counted_and_never_came_are_named_once_nothing_is_on_its_way(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", **SERVER)
    monitor.hear(event_of("run", 1), event_of("run", 4))
    assert kinds(monitor) == []

    monitor.hear(of_server("run", 50, "run_completed", model_sha256="0" * 64, emitter_seq=50) | {"emitter_id": "other"})
    (need,) = needs(monitor)

    assert (need.kind, need.run_id) == ("missing_events", "run")
    assert "51 events" in need.what  # two of the client's, 49 of the other
    assert "fedforge events import run" in need.next_step


def test_a_disk_with_little_space_comes_first(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_failed", reason="too few sites")

    assert [need.kind for need in needs(monitor, free_bytes=1_000_000)] == ["database_nearly_full", "failed"]
    assert [need.kind for need in needs(monitor, free_bytes=None)] == ["failed"]


def test_what_needs_somebody_is_served(monitor: MonitorInHand, tmp_path: Path) -> None:
    with MonitorProcess(tmp_path / "served") as served, served.client() as client:
        client.post("/api/events", json={"events": [of_server("run", 1, "run_failed", reason="too few sites")]})
        answer = client.get("/api/attention")

    assert answer.status_code == httpx.codes.OK
    assert [(need["kind"], need["run_id"]) for need in answer.json()["needs"]] == [("failed", "run")]
