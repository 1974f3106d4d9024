"""A run's settings, without the artifacts that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.config import load_run_config
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.sites.settings import RunSettings
from fedforge_runtime.storage.home import RunFolder


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    inputs = RunInputs(
        dataset="/assets/dataset/1",
        partition="/assets/partition/2",
        preprocess="/assets/preprocess/3",
        features=None,
        keys={"dataset": "1", "partition": "2", "preprocess": "3"},
        backbone="/models/backbone",
        backbone_name="untrained",
        backbone_sha256="0" * 64,
        backbone_trained=False,
        feature_size=192,
        class_names=["basophil", "eosinophil"],
        data={"source": "phantom", "rows": {"train": 10}},
    )
    return RunSettings(RunFolder(tmp_path / "run"), 3, load_run_config("blood"), inputs, tmp_path / "replay.json")
