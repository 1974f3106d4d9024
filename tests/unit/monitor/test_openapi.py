from __future__ import annotations

from pathlib import Path

from monitor.openapi import describe

KEPT = Path(__file__).parents[3] / "dashboard" / "openapi.json"


def test_the_kept_description_is_that_of_the_app() -> None:
    """Where it is not: `make openapi`, and look at what changed for the dashboard."""
    assert KEPT.read_text() == describe()
