"""Sites whose scanners differ: their images are shifted, and those that everybody is judged by are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.e2e.command import Outcome
from tests.e2e.forked import forked, forked_together

SKEW = ["--set", "partition.feature_skew.strength=1.0"]


@pytest.fixture(scope="module")
def command(small: list[str]) -> list[str]:
    """A run of one round and one epoch."""
    return ["run", "blood", *small, "--rounds", "1", "--set", "learning.epochs=1", "--json"]


@pytest.fixture(scope="module")
def runs(command: list[str]) -> dict[str, dict[str, Any]]:
    """Two runs that differ in their scanners alone."""
    plain, shifted = (result(outcome) for outcome in forked_together(command, [*command, *SKEW]))
    return {"plain": plain, "shifted": shifted}


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.errors
    return outcome.json


def features(home: Path, run: dict[str, Any], split: str) -> np.ndarray:
    inputs = (home / "runs" / run["run_id"] / "inputs.json").read_text()
    folder = next(path for path in (home / "assets" / "features").glob("[!.]*") if path.name in inputs)
    return np.load(folder / f"features_{split}.npy")


def test_scanners_shift_the_sites_images_and_not_the_central_ones(runs: dict[str, dict[str, Any]], home: Path) -> None:
    plain, shifted = runs["plain"], runs["shifted"]
    assert shifted["model_sha256"] != plain["model_sha256"]
    assert not np.allclose(features(home, shifted, "train"), features(home, plain, "train"), atol=1e-2)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(features(home, shifted, split), features(home, plain, split))


def test_the_cached_and_the_uncached_path_see_the_same_scanners(
    command: list[str], runs: dict[str, dict[str, Any]], home: Path
) -> None:
    from_images = result(forked(*command, *SKEW, "--set", "learning.cache_features=false"))
    cached, uncached = (
        load_file(home / "runs" / run["run_id"] / "checkpoints" / "round-00001" / "model.safetensors")
        for run in (runs["shifted"], from_images)
    )
    for name, value in cached.items():
        np.testing.assert_allclose(value, uncached[name], rtol=0, atol=1e-4)


def test_a_features_pass_without_plain_features_gives_the_same_as_one_with(
    command: list[str], runs: dict[str, dict[str, Any]], home: Path, tmp_path: Path
) -> None:
    elsewhere = [str(tmp_path) if option == str(home) else option for option in command]
    there = result(forked(*elsewhere, *SKEW))

    assert runs["shifted"]["model_sha256"] == there["model_sha256"]
    assert runs["shifted"]["metrics"] == there["metrics"]
