from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor import machine, openapi

DASHBOARD = Path(__file__).parents[3] / "dashboard"


@pytest.mark.parametrize(("kept", "describe"), [("openapi.json", openapi.describe), ("machine.json", machine.describe)])
def test_what_the_dashboard_is_built_from_is_that_of_the_monitor(kept: str, describe: Callable[[], str]) -> None:
    """Where it is not: `make openapi`, and look at what changed for the dashboard."""
    assert (DASHBOARD / kept).read_text() == describe()
