"""Images as a model sees them: read, seen through the site's scanner where it has one, and processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedforge_runtime.data.features.preprocess import PROCESSOR_FOLDER, load_processor
from fedforge_runtime.data.partition import load_scanner_shift, row_shifts
from fedforge_runtime.data.scanner import ScannerShift, shift_image
from fedforge_runtime.data.sources.datasets import Split, load_dataset
from fedforge_runtime.storage.artifacts import Artifact

if TYPE_CHECKING:
    from torch import Tensor


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
        if self.scanners is None:
            return ScannerShift()
        if self.client is not None:
            return _site_shift(self.scanners, self.client) or ScannerShift()
        shifts = _row_shifts(self.scanners)
        if shifts is None:
            return ScannerShift()
        site_of_row, shift_of_site = shifts
        return shift_of_site[site_of_row[row]]


@lru_cache(maxsize=1)
def _open_dataset(folder: Path) -> Any:
    return load_dataset(Artifact("dataset", folder.name, folder, created=False))


_row_shifts = lru_cache(maxsize=1)(row_shifts)
_site_shift = lru_cache(maxsize=512)(load_scanner_shift)
_open_processor = lru_cache(maxsize=1)(load_processor)
