"""Rows for `Trainer`, handed over a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(rows)
        return {"features": self.features[chosen], "labels": self.labels[chosen]}


class TokenRows(Dataset[Batch]):
    """Cached tokens, read from the memory map a batch at a time: a site's share may not fit in memory.

    Args:
        tokens: float32 (all rows, tokens, dimensions), memory-mapped.
        labels: int64 (all rows,).
        rows: int64, which of them, ascending.
    """

    def __init__(self, tokens: NDArray[np.float32], labels: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        self._tokens = tokens
        self._rows = rows
        self._labels = torch.from_numpy(np.ascontiguousarray(labels[rows]))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        return {
            "tokens": torch.from_numpy(self._tokens[self._rows[rows]]),
            "labels": self._labels[torch.as_tensor(rows)],
        }


class ImageRows(Dataset[Batch]):
    """Images, read and processed whenever they are asked for.

    Args:
        read: gives the pixel values, float32 (rows, 3, height, width), and the labels, int64 (rows,), of some rows of
            the split.
        rows: int64, which rows of the split.
    """

    def __init__(self, read: Callable[[Sequence[int]], tuple[Tensor, Tensor]], rows: NDArray[np.int64]) -> None:
        self._read = read
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        pixel_values, labels = self._read(self._rows[list(rows)].tolist())
        return {"pixel_values": pixel_values, "labels": labels}


Rows = FeatureRows | TokenRows | ImageRows
