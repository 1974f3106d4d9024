"""Images as a model sees them: read, seen through the site's scanner where it has one, and processed.

They are processed exactly as the checkpoint says, which is recorded so that a number can be traced to it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.data.partition import load_scanner_shift, row_shifts
from fedforge_runtime.data.scanner import ScannerShift, shift_image
from fedforge_runtime.data.sources.datasets import Split, load_dataset
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, sha256_file, write_json

if TYPE_CHECKING:
    from torch import Tensor


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


@dataclass(frozen=True)
class ImageReader:
    """Reads rows of a dataset, wherever a worker needs them; what it opens is kept open.

    Args:
        dataset: folder of the dataset artifact.
        processor: folder that `AutoImageProcessor` loads.
        scanners: folder of a partition whose sites may have scanners of their own; they take the training images,
            and never those of the central splits.
        client: the site that all rows of the training split are of; no other site's file is opened then.
    """

    dataset: Path
    processor: Path
    scanners: Path | None = None
    client: int | None = None

    @classmethod
    def of(cls, dataset: Artifact, preprocessing: Artifact, scanners: Artifact | None) -> ImageReader:
        """The reader of these artifacts, for any row."""
        return cls(dataset.path, preprocessing.path / PROCESSOR_FOLDER, scanners.path if scanners else None)

    def read(self, split: Split, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pixel values (rows, 3, height, width) float32, by the checkpoint's own processor, and labels (rows,)."""
        import torch

        batch = _open_dataset(self.dataset)[split][list(rows)]
        images = batch["image"]
        if split == "train":
            images = [shift_image(image, self._shift(row)) for image, row in zip(images, rows, strict=True)]
        processed = _open_processor(self.processor)(images=images, return_tensors="pt")
        return processed["pixel_values"], torch.as_tensor(batch["label"])

    def _shift(self, row: int) -> ScannerShift:
        """What the scanner of the row's site does."""
        if self.scanners and self.client is not None:
            return _site_shift(self.scanners, self.client) or ScannerShift()
        shifts = _row_shifts(self.scanners) if self.scanners else None
        if shifts is None:
            return ScannerShift()
        site_of_row, shift_of_site = shifts
        return shift_of_site[int(site_of_row[row])]


@lru_cache(maxsize=1)
def _open_dataset(folder: Path) -> Any:
    return load_dataset(Artifact("dataset", folder.name, folder, created=False))


_row_shifts = lru_cache(maxsize=1)(row_shifts)
_site_shift = lru_cache(maxsize=512)(load_scanner_shift)
_open_processor = lru_cache(maxsize=1)(load_processor)
