"""What a federation of processes makes of a fault; `python -m tests.chaos` has more kinds at other moments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime.storage.home import Home
from tests.chaos.faults import Place, fault
from tests.chaos.ground import Ground
from tests.chaos.trial import run_trial


@pytest.fixture(scope="module")
def ground(small: list[str], home: Path, undisturbed: dict[str, Any], temporary_files: Path) -> Iterator[Ground]:
    """One home and one standing federation for all of these."""
    seconds = [record["seconds"] for record in undisturbed["rounds"]]
    ground = Ground(
        home=Home(home),
        options=small,
        rounds=undisturbed["rounds_total"],
        undisturbed=undisturbed["model_sha256"],
        round_seconds=sum(seconds) / len(seconds),
        temporary=temporary_files,
    )
    yield ground
    ground.end()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "place", "seed"),
    [
        ("SuperNode killed", "standing", 1),
        ("SuperLink killed", "own", 1),
        ("client process hangs", "standing", 1),
    ],
)
def test_a_fault_is_noticed_and_costs_nothing_but_the_work_in_flight(
    ground: Ground, name: str, place: Place, seed: int
) -> None:
    trial = run_trial(ground, fault(name, place), seed)

    assert trial.problems == [], trial
    assert trial.same_model
