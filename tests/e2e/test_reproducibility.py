"""Same configuration, same seed: the same model to the bit, wherever it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.e2e.command import BARE, Outcome, fedforge
from tests.e2e.forked import forked, forked_together
from tests.support.engines import needs_ray


def _assert_equal(outcome: Outcome, expected: dict[str, Any]) -> None:
    assert outcome.code == 0, outcome.errors
    assert outcome.json["model_sha256"] == expected["model_sha256"]
    assert outcome.json["metrics"] == expected["metrics"]
    assert outcome.json.keys() == expected.keys()
    assert [each["model_sha256"] for each in outcome.json["rounds"]] == [
        each["model_sha256"] for each in expected["rounds"]
    ]


def test_the_same_seed_gives_the_same_model_in_processes_that_share_nothing_with_one_worker_or_two(
    small: list[str], undisturbed: dict[str, Any]
) -> None:
    _assert_equal(fedforge("run", "blood", *small, "--set", "runtime.workers=1", "--json"), undisturbed)


@needs_ray
@pytest.mark.thorough
def test_the_same_seed_gives_the_same_model_in_ray(small: list[str], undisturbed: dict[str, Any]) -> None:
    outcome = forked("run", "blood", *small, "--engine", "ray", "--json")
    _assert_equal(outcome, undisturbed)
    assert outcome.json["engine"] == "ray"


def test_the_seed_decides_the_model_and_who_takes_part(small: list[str], undisturbed: dict[str, Any]) -> None:
    command = ["run", "blood", *small, "--rounds", "4", "--set", "federation.clients_per_round=2", "--json"]
    other_command = ["run", "blood", *small, "--seed", "18", "--json"]
    outcomes = [forked(*command), forked(*command, "--set", "runtime.workers=1"), forked(*other_command)]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    first, second, other = (outcome.json for outcome in outcomes)
    assert first["model_sha256"] == second["model_sha256"]
    chosen = [each["participants"] for each in first["rounds"]]
    assert chosen == [each["participants"] for each in second["rounds"]]
    assert all(len(clients) == 2 for clients in chosen)
    assert len({tuple(clients) for clients in chosen}) > 1
    assert len({undisturbed["model_sha256"], first["model_sha256"], other["model_sha256"]}) == 3


def test_the_cached_and_the_uncached_path_give_the_same_head(small: list[str], home: Path) -> None:
    _assert_same_head(["blood", *small, "--rounds", "2", "--set", "learning.epochs=1"], home)


@pytest.mark.real_data
def test_the_cached_and_the_uncached_path_give_the_same_head_on_real_images(
    real_data: Path, real_backbone: Path, tmp_path: Path
) -> None:
    options = ["--home", str(tmp_path), "--data", str(real_data), "--backbone", str(real_backbone), *BARE]
    _assert_same_head(
        ["blood", *options, "--clients", "2", "--rounds", "2", "--set", "dataset.limit=60", "--profile", "tuned"],
        tmp_path,
    )


def _assert_same_head(command: list[str], home: Path) -> None:
    cached, uncached = (
        _head(outcome, home)
        for outcome in forked_together(
            *(["run", *command, "--set", f"learning.cache_features={text}", "--json"] for text in ("true", "false"))
        )
    )
    assert cached.keys() == uncached.keys()
    for name, value in cached.items():
        np.testing.assert_allclose(value, uncached[name], rtol=0, atol=1e-4)


def _head(outcome: Outcome, home: Path) -> dict[str, NDArray[Any]]:
    assert outcome.code == 0, outcome.errors
    run = home / "runs" / outcome.json["run_id"]
    return load_file(run / "checkpoints" / "round-00002" / "model.safetensors")
