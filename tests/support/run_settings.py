"""A run's settings, without the artifacts that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime.config import load_run_config
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.sites.settings import RunSettings
from fedforge_runtime.storage.home import RunFolder


def run_inputs(**changes: Any) -> RunInputs:
    """Those of a run of phantom images and an untrained backbone, but for the changes."""
    usual = {
        "dataset": "/assets/dataset/1",
        "partition": "/assets/partition/2",
        "preprocess": "/assets/preprocess/3",
        "features": None,
        "keys": {"dataset": "1", "partition": "2", "preprocess": "3"},
        "backbone": "/models/backbone",
        "backbone_name": "untrained",
        "backbone_sha256": "0" * 64,
        "backbone_trained": False,
        "feature_size": 192,
        "class_names": ["basophil", "eosinophil"],
        "data": {"source": "phantom", "rows": {"train": 10}},
    }
    return RunInputs(**{**usual, **changes})


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    folder, config = RunFolder(tmp_path / "run"), load_run_config("blood")
    return RunSettings(folder, 3, config, run_inputs(), tmp_path / "replay.json")
