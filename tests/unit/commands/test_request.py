"""What `fedforge start` asks a monitor for is the configuration that `fedforge run` has with the same options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime.commands.options import ConfigurationOptions, PlaceOptions, TrainingOptions
from fedforge_runtime.commands.request import request_overrides
from fedforge_runtime.config import RunConfig, load_run_config
from fedforge_runtime.runs.attempts import assignments_of
from monitor.schema import RunRequest


def configured(options: ConfigurationOptions, training: TrainingOptions, **place: Any) -> RunConfig:
    others = {**PlaceOptions(**place).keys(), **training.keys()}
    return options.run_config("blood", others, strategy=training.strategy)


@pytest.mark.parametrize(
    ("options", "training"),
    [
        (ConfigurationOptions(), TrainingOptions()),
        (ConfigurationOptions(partition="dirichlet:0.1", clients=4, seed=3), TrainingOptions(rounds=2)),
        (ConfigurationOptions(partition="inner_dirichlet", profile="tuned"), TrainingOptions(strategy="fedadam")),
        (ConfigurationOptions(partition="hospital-skew", mode="last_block"), TrainingOptions(head_rounds=1)),
        (
            ConfigurationOptions(data="phantom", assignments=["dataset.limit=300", "learning.standardise=false"]),
            TrainingOptions(sites="2,0", strategy="closed_form"),
        ),
    ],
)
def test_a_request_has_the_keys_that_differ_from_the_profile_and_makes_the_same_configuration(
    options: ConfigurationOptions, training: TrainingOptions
) -> None:
    config = configured(options, training, monitor="http://127.0.0.1:8400", engine="superlink")

    overrides = request_overrides(config, profile=options.profile)

    RunRequest.model_validate({"phase": "blood", "profile": options.profile, "overrides": overrides})
    made = load_run_config("blood", profile=options.profile, assignments=assignments_of(overrides))
    assert made == config.model_copy(update={"runtime": config.runtime.model_copy(update={"monitor": None})})
    assert overrides["runtime.engine"] == "superlink"
    assert "learning.epochs" not in overrides


def test_a_configuration_file_is_part_of_a_request(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("federation: {rounds: 7, strategy: {name: fedprox, parameters: {proximal_mu: 0.5}}}\n")

    overrides = request_overrides(
        configured(ConfigurationOptions(config=file), TrainingOptions(rounds=4)), profile="cpu-safe"
    )

    assert overrides == {
        "federation.rounds": 4,
        "federation.strategy.name": "fedprox",
        "federation.strategy.parameters.proximal_mu": 0.5,
    }


def test_a_folder_of_images_is_named_so_that_whoever_carries_it_out_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)

    overrides = request_overrides(
        configured(ConfigurationOptions(data="images"), TrainingOptions()), profile="cpu-safe"
    )

    assert overrides["dataset.source"] == str(tmp_path / "images")


def test_a_request_has_room_for_lists() -> None:
    sizes = configured(ConfigurationOptions(partition="size:10,20", clients=2), TrainingOptions())

    overrides = request_overrides(sizes, profile="cpu-safe")

    assert overrides["partition.parameters.sizes"] == [10, 20]
    assert load_run_config("blood", profile="cpu-safe", assignments=assignments_of(overrides)) == sizes
