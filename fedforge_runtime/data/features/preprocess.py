"""Image preprocessing exactly as the checkpoint says, recorded so that a number can be traced to it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, sha256_file, write_json

PROCESSOR_FOLDER = "processor"
_VERSIONED = ("transformers", "torch", "torchvision", "pillow")


def numeric_versions() -> dict[str, str]:
    """Versions of the packages whose arithmetic decides pixels and features."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


def prepare_preprocessing(
    backbone: Backbone, *, class_names: Sequence[str], store: ArtifactStore, pool: WorkerPool
) -> Artifact:
    """The artifact `preprocess`: the processor as loaded, and the label map.

    Files: `processor/preprocessor_config.json`, `label_map.json` (`id2label`, `label2id`).
    """
    inputs = {
        "processor_sha256": sha256_file(backbone.path / "preprocessor_config.json"),
        "class_names": list(class_names),
        "versions": numeric_versions(),
        "code": 1,
    }
    return store.build(
        "preprocess",
        inputs,
        lambda folder: pool.submit(_write_preprocessing, folder, backbone.path, list(class_names)).result(),
    )


def load_processor(folder: Path) -> Any:
    """The `AutoImageProcessor` of a preprocessing artifact or a checkpoint folder."""
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder)


def _write_preprocessing(folder: Path, checkpoint: Path, class_names: list[str]) -> dict[str, Any]:
    processor = load_processor(checkpoint)
    processor.save_pretrained(folder / PROCESSOR_FOLDER)
    label_map = {
        "id2label": {str(index): name for index, name in enumerate(class_names)},
        "label2id": {name: index for index, name in enumerate(class_names)},
    }
    write_json(folder / "label_map.json", label_map)
    settings = processor.to_dict()
    return {
        "processor_class": type(processor).__name__,
        "size": _plain(settings.get("size")),
        "crop_size": _plain(settings.get("crop_size")) if settings.get("do_center_crop") else None,
        "resample": int(settings["resample"]) if settings.get("resample") is not None else None,
        "image_mean": _plain(settings.get("image_mean")),
        "image_std": _plain(settings.get("image_std")),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return list(value)
    return dict(value) if hasattr(value, "keys") else value
