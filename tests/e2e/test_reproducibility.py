"""Same configuration, same seed: the same model to the bit, wherever it runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.e2e.command import fedforge

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra 'simulation' is not installed"
)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--set", "runtime.workers=2"], id="again"),
        pytest.param(["--set", "runtime.workers=1"], id="one-worker"),
        pytest.param(["--engine", "ray", "--set", "runtime.workers=2"], id="ray", marks=needs_ray),
    ],
)
def test_the_same_seed_gives_the_same_model(small: list[str], undisturbed: dict[str, Any], options: list[str]) -> None:
    outcome = fedforge("run", "blood", *small, *options, "--json")
    assert outcome.code == 0, outcome.errors
    assert outcome.json["model_sha256"] == undisturbed["model_sha256"]
    assert outcome.json["metrics"] == undisturbed["metrics"]
    assert outcome.json.keys() == undisturbed.keys()
    assert [each["model_sha256"] for each in outcome.json["rounds"]] == [
        each["model_sha256"] for each in undisturbed["rounds"]
    ]


def test_another_seed_gives_another_model(small: list[str], undisturbed: dict[str, Any]) -> None:
    other = fedforge("run", "blood", *small, "--seed", "18", "--json").json
    assert other["model_sha256"] != undisturbed["model_sha256"]


def test_a_seed_decides_who_takes_part(small: list[str]) -> None:
    options = ["--set", "federation.clients_per_round=2", "--set", "federation.rounds=4"]
    first = fedforge("run", "blood", *small, *options, "--json").json
    second = fedforge("run", "blood", *small, *options, "--set", "runtime.workers=1", "--json").json
    assert first["model_sha256"] == second["model_sha256"]
    chosen = [each["participants"] for each in first["rounds"]]
    assert all(len(clients) == 2 for clients in chosen)
    assert len({tuple(clients) for clients in chosen}) > 1


def test_the_cached_and_the_uncached_path_give_the_same_head(small: list[str], home: Path) -> None:
    _assert_same_head(["blood", *small, "--rounds", "2"], home)


@pytest.mark.real_data
def test_the_cached_and_the_uncached_path_give_the_same_head_on_real_images(
    real_data: Path, real_backbone: Path, tmp_path: Path
) -> None:
    options = ["--home", str(tmp_path), "--data", str(real_data), "--backbone", str(real_backbone)]
    _assert_same_head(
        ["blood", *options, "--clients", "2", "--rounds", "2", "--set", "dataset.limit=90", "--profile", "tuned"],
        tmp_path,
    )


def _assert_same_head(command: list[str], home: Path) -> None:
    heads = []
    for cached in ("true", "false"):
        outcome = fedforge("run", *command, "--set", f"learning.cache_features={cached}", "--json")
        assert outcome.code == 0, outcome.errors
        checkpoint = home / "runs" / outcome.json["run_id"] / "checkpoints" / "round-00002" / "model.safetensors"
        heads.append(load_file(checkpoint))
    for name, value in heads[0].items():
        np.testing.assert_allclose(value, heads[1][name], atol=1e-4)
