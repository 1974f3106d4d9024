"""Rows for `Trainer`, handed over a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

Batch = dict[str, Tensor]


class FeatureRows(Dataset[Batch]):
    """Cached features and labels; a batch is one slice, not a list of rows to be collated.

    Args:
        features: float32 (rows, dimensions).
        labels: int64 (rows,).
    """

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.features = torch.from_numpy(np.ascontiguousarray(features))
        self.labels = torch.from_numpy(np.ascontiguousarray(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> Batch:
        return {"features": self.features[row], "labels": self.labels[row]}

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(rows)
        return {"features": self.features[chosen], "labels": self.labels[chosen]}


class ImageRows(Dataset[Batch]):
    """Images of a `datasets.Dataset`, processed as the checkpoint says whenever they are asked for."""

    def __init__(self, images: Any, processor: Any) -> None:
        self._images = images
        self._processor = processor

    def __len__(self) -> int:
        return len(self._images)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        batch = self._images[list(rows)]
        return {
            "pixel_values": process_images(self._processor, batch["image"]),
            "labels": torch.as_tensor(batch["label"]),
        }

    def __getitem__(self, row: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([row]).items()}


def process_images(processor: Any, images: Sequence[Any]) -> Tensor:
    """Pixel values (images, 3, height, width) of PIL images, by the checkpoint's own image processor."""
    pixel_values: Tensor = processor(images=list(images), return_tensors="pt")["pixel_values"]
    return pixel_values


def keep_batch(batch: Batch) -> Batch:
    """The collator: batches arrive whole."""
    return batch
