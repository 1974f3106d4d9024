"""The closed form, the warm start that it gives, and the bounds beside a run's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedforge_runtime.config import read_run_config
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.runs.bounds import compute_bounds, read_bounds
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import Home
from tests.e2e.command import BARE, Outcome, hold_training, refusal
from tests.e2e.forked import forked, forked_running, forked_together
from tests.support.engines import IN_ONE_WORKER_AND_IN_RAY
from tests.support.listener import Listener

WARM = ["--warm-start", "closed_form"]
CLOSED_FORM = ["--strategy", "closed_form"]


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.errors
    return outcome.json


def tensors(home: Path, run_id: str, round_number: int) -> dict[str, Any]:
    return load_file(home / "runs" / run_id / "checkpoints" / f"round-{round_number:05d}" / "model.safetensors")


@pytest.fixture(scope="module")
def one_round(small: list[str]) -> list[str]:
    """The small run's options for the closed form, which needs no word about rounds."""
    position = small.index("--rounds")
    return [*small[:position], *small[position + 2 :], *CLOSED_FORM]


@pytest.fixture(scope="module")
def runs(small: list[str], one_round: list[str]) -> dict[str, dict[str, Any]]:
    """A warm-started run of three rounds, and one of the closed form."""
    warm, closed_form = forked_together(
        ["run", "blood", *small, *WARM, "--run-id", "warm", "--json"],
        ["run", "blood", *one_round, "--run-id", "closed-form", "--json"],
    )
    return {"warm": result(warm), "closed-form": result(closed_form)}


def test_the_warm_start_is_the_model_of_the_closed_form(
    runs: dict[str, dict[str, Any]], undisturbed: dict[str, Any], home: Path
) -> None:
    start, solution = tensors(home, "warm", 0), tensors(home, "closed-form", 1)
    assert start.keys() == solution.keys()
    for name, value in solution.items():
        np.testing.assert_allclose(start[name], value, rtol=0, atol=1e-5)
    assert runs["warm"]["model_sha256"] != undisturbed["model_sha256"]
    first, cold_first = runs["warm"]["rounds"][0], undisturbed["rounds"][0]
    assert first["validation_metrics"]["loss"] < cold_first["validation_metrics"]["loss"]
    participants = read_json(Path(runs["warm"]["artifacts"]["participants"]))["rounds"]
    assert participants["0"] == [0, 1, 2]


def test_the_closed_form_takes_one_round_and_its_sites_have_models_of_their_own(
    runs: dict[str, dict[str, Any]],
) -> None:
    run = runs["closed-form"]
    assert (run["strategy"], run["rounds_completed"], run["rounds_total"]) == ("closed_form", 1, 1)
    for client in run["clients"]:
        assert client["local_metrics"]["accuracy"] > 0
        assert client["global_metrics"]["accuracy"] > 0
        assert 0 < client["training_loss"] < 3


@pytest.mark.parametrize("where", IN_ONE_WORKER_AND_IN_RAY)
def test_both_are_the_same_to_the_bit_in_one_worker_and_in_ray(
    small: list[str], one_round: list[str], runs: dict[str, dict[str, Any]], where: list[str]
) -> None:
    commands = [["run", "blood", *options, *where, "--json"] for options in ([*small, *WARM], one_round)]
    for outcome, expected in zip(forked_together(*commands), runs.values(), strict=True):
        assert result(outcome)["model_sha256"] == expected["model_sha256"]
        assert outcome.json["metrics"] == expected["metrics"]


@pytest.mark.thorough
def test_kill_9_then_resume_of_a_warm_started_run_gives_the_same_model(
    small: list[str], runs: dict[str, dict[str, Any]], home: Path
) -> None:
    with forked_running("run", "blood", *small, *WARM, "--run-id", "warm-killed") as command:
        hold_training(home / "runs" / "warm-killed" / "events.jsonl", 1)
        command.kill_all()
    resumed = result(forked("resume", "warm-killed", "--home", home, *BARE, "--json"))
    assert resumed["attempt"] == 2
    assert resumed["model_sha256"] == runs["warm"]["model_sha256"]
    assert resumed["metrics"] == runs["warm"]["metrics"]


@pytest.mark.thorough
def test_the_cached_and_the_uncached_path_give_the_same_start(small: list[str], home: Path) -> None:
    options = [*WARM, "--rounds", "1", "--set", "learning.epochs=1", "--set", "learning.cache_features=false"]
    result(forked("run", "blood", *small, *options, "--run-id", "warm-uncached", "--json"))
    for name, value in tensors(home, "warm", 0).items():
        np.testing.assert_allclose(tensors(home, "warm-uncached", 0)[name], value, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ["--strategy", "closed_form", "--rounds", "3"],
            ["closed_form solves once", "federation.rounds is 3", "set federation.rounds to 1"],
            id="rounds",
        ),
        pytest.param(
            ["--set", "federation.strategy.name=closed_form"],
            ["federation.rounds is 20", "set federation.rounds to 1"],
            id="rounds-of-the-phase",
        ),
        pytest.param(
            ["--strategy", "closed_form", "--set", "learning.mode=last_block"],
            ["closed_form makes a head", "set learning.mode to head_only"],
            id="mode",
        ),
        pytest.param(
            ["--strategy", "closed_form", *WARM], ["closed_form", "leave federation.warm_start at none"], id="both"
        ),
        pytest.param(["--warm-start", "ridge"], ["federation.warm_start", "'closed_form'", "'ridge'"], id="warm-start"),
        pytest.param(
            ["--strategy", "closed_form", "--set", "federation.strategy.parameters.temperature=0"],
            ["temperature must be above 0"],
            id="temperature",
        ),
    ],
)
def test_what_does_not_fit_the_closed_form_is_refused(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    line = refusal(forked("run", "blood", "--home", tmp_path / "home", *arguments))
    assert all(word in line for word in words), line
    assert not (tmp_path / "home").exists()


def test_bounds_are_made_once_and_copied_into_every_run_that_shares_them(
    runs: dict[str, dict[str, Any]], undisturbed: dict[str, Any], home: Path
) -> None:
    bounds = result(forked("bounds", "undisturbed", "--home", home, "--json"))
    shared = result(forked("bounds", "warm", "--home", home, "--json"))

    assert shared == bounds
    assert bounds["budget_epochs"] == 24
    assert [site["client"] for site in bounds["local"]] == [0, 1, 2]
    assert [site["rows"] for site in bounds["local"]] == [client["rows"] for client in undisturbed["clients"]]
    for model in (bounds["centralized"], bounds["closed_form"], *bounds["local"]):
        assert model["validation"].keys() == model["test"].keys() == undisturbed["metrics"].keys()
    assert bounds["closed_form"]["test"] == pytest.approx(runs["closed-form"]["metrics"], abs=1e-6)
    mean_of_sites = sum(site["test"]["accuracy"] for site in bounds["local"]) / 3
    assert bounds["centralized"]["test"]["accuracy"] > mean_of_sites
    for run_id in ("undisturbed", "warm"):
        assert read_json(home / "runs" / run_id / "bounds.json") == bounds
    assert len(list(home.glob(f"assets/bounds/{bounds['artifact']}/bounds.json"))) == 1


def test_bounds_that_are_interrupted_go_on_with_the_models_that_are_missing(
    undisturbed: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    folder = Home(home).run(undisturbed["run_id"])
    config, inputs = read_run_config(folder.config), RunInputs.model_validate(read_json(folder.inputs))
    reports: list[int] = []

    class Reports(Listener):
        def bounds(self, models_done: int, models_total: int) -> None:
            reports.append(models_done)
            if reports == [0, 1, 2, 3]:
                raise RunStoppedError("stopped.")

    with Workshop(config, Home(tmp_path), Reports()) as workshop:
        with pytest.raises(RunStoppedError):
            compute_bounds(inputs, workshop, lambda: None)
        made, found = (compute_bounds(inputs, workshop, lambda: None) for _ in range(2))

    assert reports == [0, 1, 2, 3, 0, 3, 4, 5]
    assert {path.name for path in made.path.iterdir()} == {"bounds.json", "manifest.json"}
    assert (made.created, found.created, found.key) == (True, False, made.key)
    assert read_bounds(found)["artifact"] == made.key


@pytest.mark.thorough
def test_bounds_of_a_staged_run_train_what_its_stages_train(
    small: list[str], undisturbed: dict[str, Any], home: Path
) -> None:
    staged = ["--rounds", "2", "--set", "learning.mode=last_block", "--set", "learning.head_rounds=1"]
    result(forked("run", "blood", *small, *staged, *WARM, "--run-id", "staged-warm", "--json"))

    bounds = result(forked("bounds", "staged-warm", "--home", home, "--json"))

    head_only = result(forked("bounds", undisturbed["run_id"], "--home", home, "--json"))
    assert bounds["budget_epochs"] == 16
    assert bounds["closed_form"]["test"] == pytest.approx(head_only["closed_form"]["test"], abs=1e-6)
    assert bounds["centralized"]["test"]["loss"] != head_only["centralized"]["test"]["loss"]


def test_bounds_of_an_unknown_run_are_refused(tmp_path: Path) -> None:
    assert "there is no run 'nowhere'" in refusal(forked("bounds", "nowhere", "--home", tmp_path / "home"))
