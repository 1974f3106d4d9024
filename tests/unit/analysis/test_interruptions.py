"""What held a run up, and whom it lost."""

from __future__ import annotations

from fedforge_runtime.analysis import lost_sites, timeline
from monitor.schema import RunStopped
from tests.unit.analysis.conftest import Story


def test_a_pause_lies_between_the_rounds_and_lasts_until_the_run_goes_on(story: Story) -> None:
    story.start(100)
    story.round(1, 101)
    story.pause(111, 141, before=2)
    story.round(2, 141)

    spans = timeline(story.events)

    assert spans["kind"].tolist() == ["round", "pause", "round"]
    assert spans["round"].tolist() == [1, 2, 2]
    assert spans["start_seconds"].tolist() == [1.0, 11.0, 41.0]
    assert spans["seconds"].tolist() == [10.0, 30.0, 10.0]


def test_a_pause_that_ends_with_the_run_lasts_until_then(story: Story) -> None:
    story.start(0)
    story.pause(5, 25, before=1)
    story.events[-1:] = []
    story.tell(RunStopped, 15, reason="asked for")

    assert timeline(story.events).query("kind == 'pause'")["seconds"].tolist() == [10.0]


def test_a_round_that_is_done_again_is_shown_where_it_was_begun_too(story: Story) -> None:
    story.start(0)
    story.round(1, 0)
    story.interrupted_round(2, 10)
    story.resume(40)
    story.round(2, 41)

    spans = timeline(story.events).set_index(["kind", "round", "attempt"])

    assert spans.loc[("unfinished round", 2, 1)].tolist() == [10.0, 5.0]
    assert spans.loc[("between attempts", 0, 2)].tolist() == [15.0, 25.0]
    assert spans.loc[("round", 2, 2)].tolist() == [41.0, 10.0]


def test_a_lost_site_is_missed_until_it_takes_part_again(story: Story) -> None:
    story.start(0)
    story.round(1, 0)
    story.round(2, 10, lost="its node is gone")
    story.round(3, 20, lost="it does not answer")
    story.round(4, 30)

    first, second = lost_sites(story.events).to_dict("records")

    assert (first["client"], first["round"], first["task"], first["reason"]) == (1, 2, "train", "its node is gone")
    assert (first["at_seconds"], first["next_round"], first["rounds_without"]) == (15.25, 4, 2)
    assert (second["next_round"], second["rounds_without"]) == (4, 1)


def test_a_site_that_never_comes_back_is_missed_to_the_end(story: Story) -> None:
    story.start(0)
    story.round(1, 0)
    story.round(2, 10, lost="its node is gone")

    lost = lost_sites(story.events)

    assert lost["next_round"].isna().all()
    assert lost["rounds_without"].tolist() == [1]


def test_a_site_that_only_does_not_evaluate_is_missed_in_no_round(story: Story) -> None:
    story.start(0)
    story.round(1, 0, deaf=True)
    story.round(2, 10)

    (row,) = lost_sites(story.events).to_dict("records")

    assert (row["task"], row["next_round"], row["rounds_without"]) == ("evaluate", 2, 0)


def test_a_run_that_has_not_begun_has_neither(story: Story) -> None:
    assert timeline(story.events).empty
    assert lost_sites(story.events).empty
