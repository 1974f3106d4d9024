"""The exported model is the one that was scored, and says what it was made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.phantom import generate
from tests.e2e.conftest import ROWS
from tests.e2e.forked import forked


@pytest.fixture(scope="module")
def exported(undisturbed: dict[str, Any], home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "my-model"
    outcome = forked("export", "undisturbed", folder, "--home", home, "--json")
    assert outcome.code == 0, outcome.errors
    assert outcome.json == {"run_id": "undisturbed", "model": str(folder)}
    return folder


def test_a_pipeline_on_raw_images_reproduces_the_accuracy(exported: Path, undisturbed: dict[str, Any]) -> None:
    from PIL import Image
    from transformers import pipeline

    arrays = generate("bloodmnist", 28, ROWS)
    names = official_archive("bloodmnist", 28).class_names
    classify = pipeline("image-classification", model=str(exported), device="cpu")
    answers = classify([Image.fromarray(pixels) for pixels in arrays["test_images"]], top_k=1)
    right = [
        answer[0]["label"] == names[label] for answer, label in zip(answers, arrays["test_labels"].ravel(), strict=True)
    ]
    assert np.mean(right) == pytest.approx(undisturbed["metrics"]["accuracy"], abs=1e-3)


def test_the_model_loads_with_the_official_label_names(exported: Path) -> None:
    from transformers import AutoImageProcessor, ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(exported)
    names = official_archive("bloodmnist", 28).class_names
    assert model.config.id2label == dict(enumerate(names))
    assert model.config.label2id == {name: index for index, name in enumerate(names)}
    assert model.classifier.out_features == len(names)
    assert AutoImageProcessor.from_pretrained(exported).size["height"] == 32


def test_the_model_card_names_phantom_data_and_the_hash(exported: Path, undisturbed: dict[str, Any]) -> None:
    card = (exported / "README.md").read_text()
    assert "Phantom data" in card
    assert undisturbed["model_sha256"] in card
    assert undisturbed["data"]["fingerprint"] in card
    assert f"{undisturbed['metrics']['accuracy']:.4f}" in card
    assert "Untrained backbone" not in card


@pytest.mark.thorough
def test_an_untrained_backbone_is_named_wherever_its_numbers_are(tmp_path: Path) -> None:
    options = ["--data", "phantom", "--set", "dataset.limit=72", "--set", "partition.minimum_rows=5", "--clients", "2"]
    done = forked(
        "run", "blood", *options, "--backbone", "untrained", "--rounds", "1", "--no-bounds", "--home", tmp_path
    )
    assert done.code == 0, done.errors
    assert "UNTRAINED BACKBONE" in done.errors
    assert "UNTRAINED BACKBONE" in done.output

    assert "UNTRAINED BACKBONE" in forked("runs", "--home", tmp_path).output
    (run,) = forked("runs", "--home", tmp_path, "--json").json["runs"]
    assert run["backbone"] == {"name": "untrained", "trained": False}
    assert "UNTRAINED BACKBONE" in forked("show", run["run_id"], "--home", tmp_path).output
    card = Path(run["artifacts"]["model"], "README.md").read_text()
    assert "Untrained backbone" in card
    assert "Phantom data" in card
    assert json.loads(Path(run["artifacts"]["metrics"]).read_text())["backbone"]["trained"] is False
