"""What a monitor does itself is an event of the run: in a real database, at moments of the test's choosing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.control import Command, desired
from monitor.finding import events_after
from monitor.orders import acknowledge, require_run
from monitor.rows import run_facts
from monitor.schema import event_adapter
from tests.support.monitor_in_hand import LEASE, MonitorInHand, in_hand
from tests.support.monitor_process import event_of


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[MonitorInHand]:
    with in_hand(tmp_path) as monitor:
        yield monitor


def test_a_pause_is_told_from_the_order_to_its_effect(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.give("run", Command.PAUSE)
    monitor.do(lambda change: acknowledge(change, "run", 1, monitor.now))
    monitor.do(lambda change: acknowledge(change, "run", 1, monitor.now))  # it asks again and again
    monitor.say("run", "run_paused", round=2)

    assert monitor.told("run") == [
        ("run_started", "running"),
        ("command_given", "requested"),
        ("command_acknowledged", "acknowledged"),
        ("run_paused", "paused"),
        ("command_settled", "effective"),
    ]


def test_a_command_that_another_replaces_and_one_that_an_end_comes_before_are_told(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.give("run", Command.PAUSE)
    monitor.give("run", Command.STOP)
    monitor.say("run", "run_completed", model_sha256="0" * 64)

    assert [each for each in monitor.told("run") if each[0] == "command_settled"] == [
        ("command_settled", "superseded"),
        ("command_settled", "completed"),
    ]


def test_a_claimant_that_dies_is_told_and_so_is_who_takes_its_place(monitor: MonitorInHand) -> None:
    monitor.ask_for("run")
    monitor.claim("run")
    monitor.seconds = 31
    monitor.look()
    monitor.claim("run", "agent on b")

    assert monitor.told("run") == [
        ("run_requested", "requested"),
        ("run_claimed", "claimed"),
        ("lease_ended", "expired"),
        ("run_lost", "lost"),
        ("run_claimed", "claimed"),
    ]
    assert monitor.state("run") == "resuming"


def test_a_lease_that_is_renewed_late_is_told_to_be_back(monitor: MonitorInHand) -> None:
    monitor.ask_for("run")
    lease_id = monitor.claim("run")
    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    for monitor.seconds in (10, 20, 30, 31, 32, 40):
        monitor.hear(event_of("run", int(monitor.seconds)))  # only the claimant is silent
        monitor.look()
    monitor.renew("run", lease_id)
    monitor.renew("run", lease_id)

    kinds = [kind for kind, _ in monitor.told("run") if kind != "node_heartbeat"]
    assert kinds == ["run_requested", "run_claimed", "run_started", "lease_ended", "run_claimed"]


def test_a_monitor_that_was_away_gives_a_claimant_the_time_of_a_lease(monitor: MonitorInHand) -> None:
    monitor.ask_for("run")
    monitor.claim("run")
    monitor.seconds = 3600
    monitor.look(since=monitor.now - LEASE / 2)

    assert monitor.told("run") == [("run_requested", "requested"), ("run_claimed", "claimed")]


def test_a_run_that_is_heard_of_again_is_back_and_its_late_end_is_its_end(monitor: MonitorInHand) -> None:
    monitor.say("back", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.say("late", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.give("late", Command.PAUSE)
    monitor.seconds = 31
    monitor.look()
    monitor.look()
    monitor.hear(event_of("back", 1))
    monitor.say("late", "run_completed", model_sha256="0" * 64)

    assert [kind for kind, _ in monitor.told("back")] == ["run_started", "run_lost", "node_heartbeat", "run_back"]
    assert monitor.told("late")[2:] == [
        ("run_lost", "lost"),
        ("command_settled", "lost"),
        ("run_completed", "completed"),
    ]
    assert (monitor.state("back"), monitor.state("late")) == ("running", "completed")


def test_the_deeds_of_another_monitor_and_forged_ones_are_history_and_move_nothing(
    monitor: MonitorInHand, tmp_path: Path
) -> None:
    monitor.ask_for("run")
    monitor.claim("run")
    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.give("run", Command.STOP)
    expected = monitor.told("run")
    with monitor.database.reading() as session:
        exported = [event_adapter.validate_json(each.body) for each in events_after(session, "run", 0, 100)]

    with in_hand(tmp_path / "elsewhere") as other:
        other.hear(*[each.model_dump(mode="json") for each in exported])

        assert other.told("run") == expected
        assert other.state("run") == "running"
        other.give("run", Command.PAUSE)
        assert other.state("run") == "pausing"
        assert other.told("run")[-1] == ("command_given", "requested")


def test_a_gap_that_was_waited_for_with_patience_does_not_count_for_what_follows(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.hear(event_of("run", 1, "client_train_started", round=1))
    monitor.seconds = 40
    monitor.hear(event_of("run", 2, "client_train_completed", round=1))
    monitor.say("run", "run_failed", reason="for a test")
    monitor.give("run", Command.RESUME)
    monitor.seconds = 4000
    monitor.say("run", "run_resumed", attempt=2)

    with monitor.database.reading() as session:
        facts = run_facts(require_run(session, "run"))
    assert facts.longest_gaps == {"train": 40.0}
    assert facts.activity == "preparation"


def test_what_a_completed_run_still_makes_can_be_stopped_and_its_model_stays(monitor: MonitorInHand) -> None:
    def allowed() -> list[Command]:
        with monitor.database.reading() as session:
            return run_facts(require_run(session, "run")).control.allowed

    monitor.say("run", "run_started", engine="inprocess", rounds_total=3, clients=3)
    monitor.say("run", "run_completed", model_sha256="0" * 64)
    assert allowed() == []
    monitor.say("run", "stage_progress", stage="bounds")
    assert allowed() == [Command.STOP]
    monitor.give("run", Command.STOP)
    with monitor.database.reading() as session:
        assert desired(run_facts(require_run(session, "run")).control, 1) == "stop"
    assert allowed() == []
    monitor.say("run", "stage_progress", stage="bounds", status="given_up")

    assert monitor.told("run")[2:] == [
        ("stage_progress", "running"),
        ("command_given", "requested"),
        ("stage_progress", "given_up"),
        ("command_settled", "effective"),
    ]
    assert monitor.state("run") == "completed"


def test_where_nothing_more_is_heard_of_what_a_completed_run_makes_nobody_can_stop_it(monitor: MonitorInHand) -> None:
    monitor.say("run", "run_completed", model_sha256="0" * 64)
    monitor.say("run", "stage_progress", stage="report")
    monitor.give("run", Command.STOP)
    monitor.seconds = 31
    monitor.look()
    monitor.look()

    assert monitor.told("run")[3:] == [("run_lost", "lost"), ("command_settled", "effective")]
    assert monitor.state("run") == "completed"
    with monitor.database.reading() as session:
        assert run_facts(require_run(session, "run")).control.allowed == []
