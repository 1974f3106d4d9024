"""Carries the last block that an earlier phase has trained on to the next: as a backbone of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedforge_runtime.data.features.backbone import Backbone, read_backbone
from fedforge_runtime.data.features.images import open_backbone
from fedforge_runtime.errors import BackboneError
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.storage.artifacts import ArtifactStore, sha256_file


def carry_block(backbone: Backbone, model: Path, *, store: ArtifactStore, pool: WorkerPool) -> Backbone:
    """`backbone` with the last block and the final norm of a trained model.

    It is an artifact, so that a run depends on no other run's folder. Below the last block nothing changes, so the
    tokens that enter it are the same.

    Args:
        model: the exported model of a run, in Hugging Face's format.

    Raises:
        BackboneError: the model stands on another backbone.
    """
    inputs = {"base_sha256": backbone.sha256, "model_sha256": sha256_file(model / "model.safetensors"), "code": 1}
    artifact = store.build(
        "backbone", inputs, lambda folder: pool.submit(_write_merged, folder, backbone.path, model).result()
    )
    return replace(read_backbone(backbone.name, artifact.path), trained=backbone.trained)


def _write_merged(folder: Path, base: Path, model: Path) -> dict[str, Any]:
    import torch
    from transformers import ViTForImageClassification

    from fedforge_runtime.learning.model import is_trunk

    backbone = open_backbone(base)
    donor = ViTForImageClassification.from_pretrained(model, dtype=torch.float32).vit
    own, others = dict(backbone.named_parameters()), dict(donor.named_parameters())
    trunk = [name for name in own if is_trunk(name, len(backbone.layers))]
    if own.keys() != others.keys() or not all(torch.equal(own[name], others[name]) for name in trunk):
        raise BackboneError(
            f"the model {model} does not stand on the backbone {base}: they differ below the last block.",
            remedy="Start from a run that was trained in mode last_block on the same backbone.",
        )
    donor.save_pretrained(folder)
    shutil.copyfile(base / "preprocessor_config.json", folder / "preprocessor_config.json")
    return {"base": str(base), "block_of": str(model)}
