"""What a person and a program read: one JSON object, tables, and banners wherever a number is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.command import Outcome, fedforge
from tests.e2e.forked import forked

METRICS = {"accuracy", "balanced_accuracy", "macro_f1", "auc", "loss"}


def test_json_is_one_object_with_everything_and_nothing_else(undisturbed_outcome: Outcome) -> None:
    result = json.loads(undisturbed_outcome.output)
    assert result["run_id"] == "undisturbed"
    assert (result["phase"], result["state"], result["engine"]) == ("blood", "completed", "inprocess")
    assert result["rounds_completed"] == 3
    assert len(result["model_sha256"]) == 64
    assert result["data"].keys() == {"source", "fingerprint", "official"}
    assert (result["data"]["source"], result["data"]["official"]) == ("phantom", False)
    assert result["backbone"].keys() == {"name", "trained"}
    assert result["metrics"].keys() == METRICS
    assert all(isinstance(value, float) for value in result["metrics"].values())
    assert [each["client"] for each in result["clients"]] == [0, 1, 2]
    assert [each["round"] for each in result["rounds"]] == [1, 2, 3]
    assert result["seconds"].keys() == {"prepare", "features", "rounds", "total"}
    assert sum(result["seconds"][part] for part in ("prepare", "features", "rounds")) <= result["seconds"]["total"] + 1
    assert all(Path(path).exists() for path in result["artifacts"].values())
    assert {"run", "model", "metrics", "manifest", "rounds", "clients", "events"} <= result["artifacts"].keys()


def test_json_leaves_the_banner_on_standard_error(undisturbed_outcome: Outcome) -> None:
    assert "PHANTOM DATA" in undisturbed_outcome.errors
    assert "PHANTOM DATA" not in undisturbed_outcome.output


def test_show_gives_the_object_that_the_run_gave(undisturbed: dict[str, Any], home: Path) -> None:
    assert forked("show", "undisturbed", "--home", home, "--json").json == undisturbed


def test_show_draws_rounds_clients_scores_and_paths(undisturbed: dict[str, Any], home: Path) -> None:
    shown = forked("show", "undisturbed", "--home", home)
    assert (shown.code, shown.errors) == (0, "")
    assert "undisturbed: completed, 3 of 3 rounds" in shown.output
    assert "PHANTOM DATA" in shown.output
    assert undisturbed["model_sha256"] in shown.output
    for record in undisturbed["rounds"]:
        assert f"{record['validation_metrics']['accuracy']:.4f}" in shown.output
    for name, value in undisturbed["metrics"].items():
        assert f"{name} {value:.4f}" in shown.output
    for name in ("model", "run"):
        assert undisturbed["artifacts"][name] in shown.output


def test_runs_lists_every_run_with_what_it_was_made_from(undisturbed: dict[str, Any], home: Path) -> None:
    drawn = forked("runs", "--home", home)
    assert drawn.code == 0
    line = next(line for line in drawn.output.splitlines() if "undisturbed" in line)
    assert "completed" in line
    assert "PHANTOM DATA" in line
    assert f"{undisturbed['metrics']['accuracy']:.4f}" in line
    listed = forked("runs", "--home", home, "--json").json["runs"]
    assert undisturbed in listed


def test_a_home_without_runs_lists_none(tmp_path: Path) -> None:
    assert fedforge("runs", "--home", tmp_path / "home", "--json").json == {"runs": []}
    assert not (tmp_path / "home").exists()
