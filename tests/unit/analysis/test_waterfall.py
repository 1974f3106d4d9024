"""Where the time of a round goes."""

from __future__ import annotations

import pytest

from fedforge_runtime.analysis import waterfall
from fedforge_runtime.analysis.timing import SERVER_STEPS, SITE_STEPS
from monitor.schema import ClientTrainCompleted
from tests.unit.analysis.conftest import Story


def test_the_servers_steps_follow_each_other_and_add_up_to_the_round(story: Story) -> None:
    story.round(1, 0)

    server = waterfall(story.events).query("node_id == 'server'")

    assert server["step"].tolist() == list(SERVER_STEPS)
    assert server["seconds"].tolist() == [6.5, 0.5, 2.0, 1.0]
    assert (server["start_seconds"] + server["seconds"]).tolist() == [6.5, 7.0, 9.0, 10.0]


def test_a_sites_round_trip_is_its_work_and_the_rest(story: Story) -> None:
    story.round(1, 0)

    of_site = waterfall(story.events).query("node_id == 'client-0' and task == 'train'")

    assert of_site["step"].tolist() == ["train", "waiting and transfer"]
    assert of_site["start_seconds"].tolist() == [0.25, 3.25]
    assert of_site["seconds"].tolist() == [3.0, 3.0]


def test_a_site_that_gives_no_answer_takes_its_round_trip(story: Story) -> None:
    story.round(1, 0, lost="it is gone")

    (row,) = waterfall(story.events).query("node_id == 'client-1'").to_dict("records")

    assert (row["step"], row["seconds"]) == ("no usable answer", 5.0)


def test_what_a_site_has_not_said_of_its_work_is_waiting(story: Story) -> None:
    story.round(1, 0)
    told = [event for event in story.events if not isinstance(event, ClientTrainCompleted)]

    trained = waterfall(told).query("node_id == 'client-0' and task == 'train'").set_index("step")["seconds"]

    assert trained.to_dict() == {"train": 0.0, "waiting and transfer": 6.0}


def test_work_is_never_longer_than_the_round_trip_that_it_is_part_of(story: Story) -> None:
    story.round(1, 0)
    slow = [
        event.model_copy(update={"latency_ms": 60_000.0}) if isinstance(event, ClientTrainCompleted) else event
        for event in story.events
    ]

    steps = waterfall(slow)

    assert steps["seconds"].min() >= 0
    assert set(steps["step"]) <= {*SERVER_STEPS, *SITE_STEPS}
    assert steps.query("node_id == 'client-0' and task == 'train'")["seconds"].sum() == pytest.approx(6.0)
