"""A tiny checkpoint, a home whose features are computed, and one undisturbed run to compare with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import BARE, Outcome
from tests.e2e.forked import forked
from tests.support.patience import PATIENCE_SECONDS

ROWS = 240


@pytest.fixture(scope="session", autouse=True)
def temporary_files() -> Iterator[Path]:
    """Where commands put their temporary files: what those that are killed leave there goes at the end."""
    # Not below pytest's own folders: the names of sockets must be short.
    with (
        tempfile.TemporaryDirectory(prefix="e2e-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of one small layer, as `save_pretrained` writes it: features of it cost nothing."""
    import torch
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("backbone") / "tiny-vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=16,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for runs that do not harm each other."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def small(home: Path, tiny_backbone: Path) -> list[str]:
    """Options of a small run: phantom images, the tiny checkpoint, three sites, three rounds of some epochs each."""
    return [
        *("--home", str(home), "--data", "phantom", "--backbone", str(tiny_backbone)),
        *("--clients", "3", "--rounds", "3", "--set", f"dataset.limit={ROWS}"),
        *BARE,
        *("--set", "learning.learning_rate=0.02", "--set", "learning.epochs=8", "--set", "runtime.workers=2"),
        *("--set", f"federation.connect_timeout_seconds={PATIENCE_SECONDS}"),
    ]


@pytest.fixture(scope="session")
def undisturbed_outcome(small: list[str]) -> Outcome:
    """How the small run ended: blood, seed 17, in two workers, with bounds."""
    outcome = forked("run", "blood", *small, "--bounds", "--report", "--run-id", "undisturbed", "--json")
    assert outcome.code == 0, outcome.errors
    return outcome


@pytest.fixture(scope="session")
def undisturbed(undisturbed_outcome: Outcome) -> dict[str, Any]:
    """The result of the small run."""
    return undisturbed_outcome.json
