"""Who takes part in a round is decided by the seed or by a record, never by who was first."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.errors import ConfigError
from fedforge_runtime.record.participants import (
    ParticipantRecord,
    ReplayedSelection,
    SeededSelection,
    read_participants,
)


@st.composite
def selections(draw: st.DrawFn) -> tuple[SeededSelection, int, int]:
    clients = draw(st.integers(1, 30))
    per_round = draw(st.integers(1, clients))
    return (
        SeededSelection(seed=draw(st.integers(0, 2**31 - 1)), sites=range(clients), clients_per_round=per_round),
        clients,
        per_round,
    )


@given(selection=selections(), number=st.integers(1, 100), disorder=st.randoms())
def test_the_order_in_which_clients_appeared_changes_nothing(
    selection: tuple[SeededSelection, int, int], number: int, disorder: random.Random
) -> None:
    seeded, clients, per_round = selection
    available = list(range(clients))
    chosen = seeded.choose(number, available)

    disorder.shuffle(available)

    assert seeded.choose(number, available) == chosen == sorted(set(chosen))
    assert len(chosen) == per_round


@given(selection=selections(), number=st.integers(1, 100), data=st.data())
def test_a_client_that_was_not_chosen_can_leave_without_changing_the_choice(
    selection: tuple[SeededSelection, int, int], number: int, data: st.DataObject
) -> None:
    seeded, clients, _ = selection
    chosen = seeded.choose(number, range(clients))
    others = sorted(set(range(clients)) - set(chosen))
    left = data.draw(st.sets(st.sampled_from(others))) if others else set()

    assert seeded.choose(number, [client for client in range(clients) if client not in left]) == chosen


@given(selection=selections(), number=st.integers(1, 100), data=st.data())
def test_only_those_who_are_available_are_chosen(
    selection: tuple[SeededSelection, int, int], number: int, data: st.DataObject
) -> None:
    seeded, clients, per_round = selection
    available = sorted(data.draw(st.sets(st.integers(0, clients - 1))))

    chosen = seeded.choose(number, available)

    assert set(chosen) <= set(available)
    assert len(chosen) == min(per_round, len(available))


def test_without_a_number_all_take_part() -> None:
    assert SeededSelection(seed=1, sites=range(4), clients_per_round=None).choose(1, [3, 0, 2, 1]) == [0, 1, 2, 3]


def test_the_seed_and_the_round_change_the_choice() -> None:
    def chosen(seed: int, number: int) -> tuple[int, ...]:
        return tuple(SeededSelection(seed=seed, sites=range(20), clients_per_round=5).choose(number, range(20)))

    assert len({chosen(17, number) for number in range(1, 11)}) == 10
    assert len({chosen(seed, 1) for seed in range(10)}) == 10


def test_over_many_rounds_everybody_has_a_turn() -> None:
    selection = SeededSelection(seed=3, sites=range(10), clients_per_round=2)
    turns = [client for number in range(1, 501) for client in selection.choose(number, range(10))]

    assert all(60 < turns.count(client) < 140 for client in range(10))


def test_a_replay_takes_exactly_the_recorded_clients_whoever_is_there() -> None:
    selection = ReplayedSelection({1: [2, 0], 2: [1]})

    assert selection.exact
    assert selection.choose(1, [0]) == [0, 2]
    assert selection.choose(2, [0, 1, 2]) == [1]


# The file


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = ParticipantRecord(rounds={0: [0, 1, 2], 1: [0, 2], 2: [1]})
    record.write(tmp_path / "participants.json")

    assert read_participants(tmp_path / "participants.json", rounds=2, sites=range(3)) == record


def test_a_record_of_more_rounds_serves_a_shorter_run(tmp_path: Path) -> None:
    ParticipantRecord(rounds={1: [0], 2: [1], 3: [0]}).write(tmp_path / "participants.json")

    assert read_participants(tmp_path / "participants.json", rounds=2, sites=range(2)).rounds[2] == [1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"rounds": {"1": [0]}}, "names no participants for round 2"),
        ({"rounds": {"1": [0], "2": []}}, "names no participants for round 2"),
        ({"rounds": {"1": [0], "2": [1, 3, 4]}}, r"names the clients \[3, 4\], but the run has clients 0 to 2"),
        ({"rounds": {"1": [-1], "2": [0]}}, r"names the clients \[-1\]"),
        ({"rounds": {"one": [0]}}, "cannot use the participants file"),
        ({"rounds": {"1": 0}}, "cannot use the participants file"),
        ({"rounds": {"1": ["a"]}}, "cannot use the participants file"),
        ({"round": {}}, "cannot use the participants file"),
        ([], "cannot use the participants file"),
        ("{", "cannot use the participants file"),
    ],
)
def test_a_file_that_does_not_fit_the_run_is_refused(content: Any, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "participants.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(ConfigError, match=problem):
        read_participants(path, rounds=2, sites=range(3))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json: No such file or directory"):
        read_participants(tmp_path / "absent.json", rounds=1, sites=range(1))
