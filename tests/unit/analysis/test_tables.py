"""Rounds and sites in rounds, from events alone."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.analysis.tables import CLIENTS, EVENTS, ROUNDS, clients_of, events_frame, frame, rounds_of
from tests.unit.analysis.conftest import MODEL, NUMBERS, Story


def test_a_round_counts_whose_update_was_used_who_failed_and_what_was_sent(story: Story) -> None:
    story.round(1, 0)
    story.round(2, 10, lost="its process ended")

    whole, without = rounds_of(story.events)

    assert (whole["clients"], whole["failures"], whole["seconds"]) == (2, 0, 10.0)
    assert (whole["bytes_sent"], whole["bytes_received"]) == (4 * MODEL, 2 * MODEL + 2 * NUMBERS)
    assert (without["clients"], without["failures"]) == (1, 1)
    assert (without["bytes_sent"], without["bytes_received"]) == (3 * MODEL, MODEL + NUMBERS)
    assert (without["validation_accuracy"], without["validation_auc"], without["training_loss"]) == (0.7, None, 2.0)


def test_an_update_that_was_rejected_is_received_and_not_used(story: Story) -> None:
    story.round(1, 0, flawed="values that are not finite")

    (row,) = rounds_of(story.events)

    assert (row["clients"], row["failures"], row["bytes_received"]) == (1, 1, 2 * MODEL + NUMBERS)
    assert [client["client"] for client in clients_of(story.events)] == [0]


def test_a_site_that_trained_and_did_not_evaluate_has_no_score_of_the_new_model(story: Story) -> None:
    story.round(1, 0, deaf=True)

    first, second = clients_of(story.events)

    assert (first["client"], first["local_accuracy"], first["global_accuracy"]) == (0, 0.5, 0.5)
    assert (second["client"], second["local_accuracy"], second["global_accuracy"]) == (1, 0.6, None)
    assert (first["bytes_sent"], second["bytes_sent"]) == (2 * MODEL, MODEL)
    assert (first["seconds"], first["round_trip_seconds"]) == (3.0, 6.0)


def test_a_round_that_was_begun_again_is_that_of_the_attempt_that_completed_it(story: Story) -> None:
    story.interrupted_round(1, 0)
    story.resume(20)
    story.round(1, 21)

    (row,) = rounds_of(story.events)

    assert row["bytes_sent"] == 4 * MODEL
    assert len(clients_of(story.events)) == 2


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_between_processes_changes_nothing(random: Random) -> None:
    story = Story()
    story.round(1, 0)
    story.interrupted_round(2, 10)
    story.resume(20)
    story.round(2, 21, deaf=True)
    story.round(3, 31, lost="it is gone")
    waiting: dict[str, list[Any]] = {}
    for event in story.events:
        waiting.setdefault(event.emitter_id, []).append(event)
    shuffled = []
    while waiting:
        emitter = random.choice(sorted(waiting))
        shuffled.append(waiting[emitter].pop(0))
        waiting = {each: events for each, events in waiting.items() if events}

    assert rounds_of(shuffled) == rounds_of(story.events)
    assert clients_of(shuffled) == clients_of(story.events)


@pytest.mark.parametrize("columns", [ROUNDS, CLIENTS, EVENTS])
def test_a_frame_without_rows_has_its_columns_and_types(columns: dict[str, str]) -> None:
    empty = frame([], columns)

    assert {name: str(kind) for name, kind in empty.dtypes.items()} == dict(columns)


def test_events_have_what_the_contract_gives_all_of_them_and_say_it_in_words(story: Story) -> None:
    story.round(1, 0, lost="its process ended")

    events = events_frame(story.events)

    failed = events[events["type"] == "node_error"].iloc[0]
    assert (failed["node_id"], failed["task"], failed["reason"]) == ("client-1", "train", "its process ended")
    assert failed["sentence"] == "Site 1 has failed: its process ended"
    assert events["ts"].dt.tz is not None
    assert events["task"].isna().any()
