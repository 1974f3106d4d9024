from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recording import RECORDED, record


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_dashboard_is_held_against_is_what_the_monitor_makes_of_it(path: Path) -> None:
    """Where it is not: `python -m tests.recording`, and see what the dashboard's reducer says to it."""
    kept = json.loads(path.read_text())

    assert record(kept["events"]) == kept


def test_there_is_such_a_run() -> None:
    assert list(RECORDED.glob("*.json"))
