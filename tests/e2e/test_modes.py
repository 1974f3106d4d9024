"""Training more than the head: from cached tokens, in stages, and from the block of an earlier phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedforge_runtime.storage.artifacts import read_json
from tests.e2e.command import BARE, Outcome, hold_training, refusal
from tests.e2e.forked import forked, forked_running, forked_together
from tests.support.engines import IN_ONE_WORKER_AND_IN_RAY

STAGED = ["--mode", "last_block", "--head-rounds", "1"]


@pytest.fixture(scope="module")
def staged(small: list[str]) -> dict[str, Any]:
    """A run of one round of the head alone and two of the last block."""
    return result(forked("run", "blood", *small, *STAGED, "--run-id", "staged", "--json"))


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.errors
    return outcome.json


def tensors(home: Path, run_id: str, round_number: int) -> dict[str, Any]:
    return load_file(home / "runs" / run_id / "checkpoints" / f"round-{round_number:05d}" / "model.safetensors")


def test_a_staged_run_sends_the_head_first_and_the_block_later(
    staged: dict[str, Any], undisturbed: dict[str, Any], home: Path
) -> None:
    assert [each["mode"] for each in staged["rounds"]] == ["head_only", "last_block", "last_block"]
    assert staged["rounds"][0]["model_sha256"] == undisturbed["rounds"][0]["model_sha256"]
    assert tensors(home, "staged", 1).keys() == {"classifier.weight", "classifier.bias"}
    after = tensors(home, "staged", 2)
    assert {"vit.layernorm.weight", "vit.layers.0.mlp.fc1.weight"} < after.keys()
    assert not any(name.startswith("vit.embeddings") for name in after)
    bytes_of = [each["bytes_received"] for each in staged["rounds"]]
    assert bytes_of[1] > 10 * bytes_of[0]
    assert staged["metrics"] != undisturbed["metrics"]


@pytest.mark.parametrize("where", IN_ONE_WORKER_AND_IN_RAY)
def test_a_staged_run_gives_the_same_model_in_one_worker_and_in_ray(
    small: list[str], staged: dict[str, Any], where: list[str]
) -> None:
    outcome = forked("run", "blood", *small, *STAGED, *where, "--json")

    assert result(outcome)["model_sha256"] == staged["model_sha256"]
    assert outcome.json["metrics"] == staged["metrics"]


@pytest.mark.parametrize("killed_in", [*(pytest.param(early, marks=pytest.mark.thorough) for early in (1, 2)), 3])
def test_a_staged_run_that_is_killed_resumes_to_the_same_model(
    small: list[str], staged: dict[str, Any], home: Path, killed_in: int
) -> None:
    run_id = f"staged-killed-{killed_in}"
    with forked_running("run", "blood", *small, *STAGED, "--strategy", "fedavg", "--run-id", run_id) as command:
        hold_training(home / "runs" / run_id / "events.jsonl", killed_in)
        command.kill_all()
    resumed = result(forked("resume", run_id, "--home", home, *BARE, "--json"))
    assert (resumed["attempt"], resumed["rounds_completed"]) == (2, 3)
    assert resumed["model_sha256"] == staged["model_sha256"]
    assert resumed["metrics"] == staged["metrics"]


@pytest.mark.thorough
def test_each_stage_has_a_server_optimiser_of_its_own_also_after_kill_9(small: list[str], home: Path) -> None:
    command = ["run", "blood", *small, *STAGED, "--strategy", "fedadam", "--rounds", "4"]
    with forked_running(*command, "--run-id", "staged-adam") as process:
        hold_training(home / "runs" / "staged-adam" / "events.jsonl", 3)
        process.kill_all()
    resumed, other = forked_together(["resume", "staged-adam", "--home", home, *BARE, "--json"], [*command, "--json"])
    assert result(resumed)["model_sha256"] == result(other)["model_sha256"]


def test_the_exported_model_is_the_one_that_was_scored(staged: dict[str, Any], home: Path) -> None:
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(staged["artifacts"]["model"])
    own = dict(model.named_parameters())
    for name, value in tensors(home, "staged", 3).items():
        if name.startswith("vit."):
            np.testing.assert_array_equal(own[name].detach().numpy(), value)


def test_the_whole_model_trains_on_images(small: list[str]) -> None:
    options = ["--rounds", "1", "--set", "learning.epochs=1", "--set", "learning.mode=full"]
    options += ["--set", "learning.cache_features=false"]
    outcome = result(forked("run", "blood", *small, *options, "--json"))
    assert outcome["rounds"][0]["mode"] == "full"
    assert outcome["metrics"]["accuracy"] > 0


def test_the_block_from_tokens_is_that_from_images(small: list[str], home: Path) -> None:
    assert_the_same_logits(["blood", *small, "--rounds", "1", "--set", "learning.epochs=1"], home)


@pytest.mark.real_data
def test_the_block_from_tokens_is_that_from_images_on_real_ones(
    real_data: Path, real_backbone: Path, tmp_path: Path
) -> None:
    options = ["--home", str(tmp_path), "--data", str(real_data), "--backbone", str(real_backbone)]
    small_share = ["--clients", "2", "--rounds", "1", *BARE, "--set", "dataset.limit=60", "--profile", "tuned"]
    assert_the_same_logits(["blood", *options, *small_share], tmp_path)


def assert_the_same_logits(command: list[str], home: Path) -> None:
    """Logits of all test images after one round, from tokens and from images, within 1e-3."""
    import torch
    from transformers import ViTForImageClassification

    command = ["run", *command, "--mode", "last_block", "--json"]
    cached, uncached = (
        result(outcome)
        for outcome in forked_together(
            *([*command, "--set", f"learning.cache_features={text}"] for text in ("true", "false"))
        )
    )
    models = [ViTForImageClassification.from_pretrained(run["artifacts"]["model"]) for run in (cached, uncached)]
    size = models[0].config.image_size
    images = torch.randn(16, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, reference = (model(pixel_values=images).logits for model in models)
    torch.testing.assert_close(ours, reference, atol=1e-3, rtol=0)
    assert cached["metrics"]["accuracy"] == uncached["metrics"]["accuracy"]
    assert abs(cached["metrics"]["loss"] - uncached["metrics"]["loss"]) < 1e-3


def test_features_of_cached_tokens_are_those_of_images_to_the_bit(small: list[str], tmp_path: Path, home: Path) -> None:
    options = [str(tmp_path) if option == str(home) else option for option in small]
    both = result(forked("prepare", "blood", *prepared(options), "--mode", "last_block", "--json"))
    alone = result(forked("prepare", "blood", *prepared(small), "--json"))
    assert both["features"]["key"] == alone["features"]["key"]
    for split in ("train", "validation", "test"):
        name = f"features_{split}.npy"
        assert (Path(both["features"]["path"]) / name).read_bytes() == (
            Path(alone["features"]["path"]) / name
        ).read_bytes()


def prepared(options: list[str]) -> list[str]:
    """The options of `run` that `prepare` takes too."""
    at = options.index("--rounds")
    return [option for option in options[:at] + options[at + 2 :] if option not in BARE]


def test_a_phase_starts_from_the_block_of_an_earlier_one(
    small: list[str], staged: dict[str, Any], home: Path, tiny_backbone: Path
) -> None:
    command = ["run", "derma", *small, "--mode", "last_block", "--json"]
    carried, fresh = (result(outcome) for outcome in forked_together([*command, "--start-from", "staged"], command))
    assert carried["block_from"] == "staged"
    assert fresh["block_from"] is None
    blood = tensors(home, "staged", 3)
    start = tensors(home, carried["run_id"], 0)
    block = [name for name in start if name.startswith("vit.")]
    assert block
    assert all(np.array_equal(start[name], blood[name]) for name in block)
    assert carried["model_sha256"] != fresh["model_sha256"]
    inputs = [read_json(home / "runs" / each["run_id"] / "inputs.json") for each in (carried, fresh)]
    assert inputs[0]["keys"]["tokens"] == inputs[1]["keys"]["tokens"]
    assert inputs[0]["keys"]["features"] != inputs[1]["keys"]["features"]
    card = (Path(carried["artifacts"]["model"]) / "README.md").read_text()
    assert "last block of the run `staged`" in card


def test_a_block_that_is_not_there_is_refused(small: list[str], undisturbed: dict[str, Any]) -> None:
    command = ["run", "derma", *small, "--mode", "last_block", "--start-from"]
    head_only, unknown = forked_together([*command, undisturbed["run_id"]], [*command, "nosuch"])
    assert "was trained in mode head_only, so it has no last block" in refusal(head_only)
    assert "there is no run 'nosuch'" in refusal(unknown)


def test_a_block_of_another_backbone_is_refused(
    small: list[str], staged: dict[str, Any], tiny_backbone: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import ViTModel

    other = tmp_path / "other"
    model = ViTModel.from_pretrained(tiny_backbone, add_pooling_layer=False)
    with torch.no_grad():
        model.embeddings.cls_token += 1
    model.save_pretrained(other)
    (other / "preprocessor_config.json").write_bytes((tiny_backbone / "preprocessor_config.json").read_bytes())
    options = [str(other) if option == str(tiny_backbone) else option for option in small]
    outcome = forked("run", "derma", *options, "--mode", "last_block", "--start-from", "staged")
    assert "they differ below the last block" in refusal(outcome)


def test_the_size_of_the_tokens_is_told_before_they_are_computed(small: list[str]) -> None:
    outcome = forked("run", "blood", *small, *STAGED, "--set", "dataset.limit=200", "--rounds", "2")
    assert outcome.code == 0, outcome.errors
    assert "Computing the backbone's tokens once: 200 images" in outcome.errors
