"""An operator is told of an outage once, of another cause once, and of its end once."""

from __future__ import annotations

import pytest

from fedforge_runtime.errors import MonitorAwayError
from fedforge_runtime.telemetry.monitor_client import MonitorAddress
from fedforge_runtime.telemetry.reach import MonitorReach


def away(cause: str, status: int | None = None) -> MonitorAwayError:
    return MonitorAwayError("away", cause=cause, status=status)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def reach(said: list[str]) -> MonitorReach:
    return MonitorReach(MonitorAddress.parse("http://monitor:8400"), said.append, meanwhile="The run goes on.")


def test_an_outage_that_several_threads_meet_is_one(reach: MonitorReach, said: list[str]) -> None:
    for purpose in ("events", "control", "events", "control"):
        reach.failed(purpose, away("connection refused"))
    reach.answered("events")
    still = len(said)
    reach.answered("control")

    assert still == 1
    assert len(said) == 2
    assert said[0].startswith("monitor http://monitor:8400 unreachable since ")
    assert said[0].endswith(" UTC, because connection refused. The run goes on.")
    assert "reachable again" in said[1]


def test_another_cause_in_the_same_outage_is_said_once(reach: MonitorReach, said: list[str]) -> None:
    reach.failed("events", away("connection refused"))
    for _ in range(3):
        reach.failed("events", away("it does not take the token", 401))
        reach.failed("events", away("connection reset"))

    assert len(said) == 2
    assert "still unreachable since" in said[1]
    assert said[1].endswith("now because it does not take the token.")


def test_a_second_outage_is_another(reach: MonitorReach, said: list[str]) -> None:
    for _ in range(2):
        reach.failed("events", away("connection refused"))
        reach.answered("events")
        reach.answered("events")

    assert ["unreachable since" in text for text in said] == [True, False, True, False]


def test_who_has_ended_holds_no_outage_open(reach: MonitorReach, said: list[str]) -> None:
    reach.failed("control", away("connection refused"))
    reach.failed("events", away("connection refused"))
    reach.ended("control")
    reach.answered("events")

    assert "reachable again" in said[-1]
