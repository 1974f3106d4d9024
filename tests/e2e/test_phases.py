"""What is accepted of a phase reaches the monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.forked import forked
from tests.support.monitor_process import MonitorProcess


def test_a_run_that_is_accepted_is_shown_beside_its_bounds_and_what_it_was_held_against(
    undisturbed: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    here = ["--home", home, "--baselines", tmp_path / "baselines", "--json"]
    with MonitorProcess(tmp_path / "monitor") as monitor, monitor.client() as client:
        for _ in range(2):
            outcome = forked("baseline", "accept", "undisturbed", *here, "--monitor", monitor.url)
            assert outcome.code == 0, outcome.errors
        (phase,) = client.get("/api/phases").json()["phases"]

    accepted = phase["accepted"]
    assert (phase["phase"], phase["source"], phase["order"], phase["blockers"]) == ("blood", "baseline", 0, [])
    assert (accepted["run_id"], accepted["model_sha256"]) == ("undisturbed", undisturbed["model_sha256"])
    assert accepted["scores"] == undisturbed["metrics"]
    assert accepted["stand_ins"] == ["phantom_data"]
    assert accepted["baseline"] == pytest.approx(undisturbed["metrics"])  # that of the first time
    assert accepted["highest"] == undisturbed["bounds"]["centralized"]["test"]
    assert accepted["lowest"]["accuracy"] == min(site["test"]["accuracy"] for site in undisturbed["bounds"]["local"])


def test_a_monitor_that_is_away_holds_nothing_up(undisturbed: dict[str, Any], home: Path, tmp_path: Path) -> None:
    here = ["--home", home, "--baselines", tmp_path / "baselines", "--json"]
    outcome = forked("baseline", "accept", undisturbed["run_id"], *here, "--monitor", "http://127.0.0.1:9")

    assert outcome.code == 0
    assert Path(outcome.json["baseline"]).is_file()
    assert "The monitor was not told of the phase blood" in " ".join(outcome.errors.split())
