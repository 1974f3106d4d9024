"""One pass over a dataset's images: what the searches and statistics need of each, in little memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.sources.datasets import SPLITS, Split, load_dataset, load_labels, pixel_blocks
from fedforge_runtime.storage.artifacts import Artifact

THUMBNAIL = 28
"""Edge length in pixels of what similar pictures are searched by; larger images are averaged down to it."""


@dataclass(frozen=True)
class RowIndex:
    """Where each of the dataset's rows is: the splits one after another, shape (rows,) each."""

    split: NDArray[np.int8]
    """Place in `SPLITS`."""
    index: NDArray[np.int64]
    """The row's number in its split."""
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Artifact) -> RowIndex:
        """The rows of a dataset artifact."""
        labels = [load_labels(dataset, split) for split in SPLITS]
        sizes = [len(each) for each in labels]
        return cls(
            split=np.repeat(np.arange(len(SPLITS), dtype=np.int8), sizes),
            index=np.concatenate([np.arange(size, dtype=np.int64) for size in sizes]),
            labels=np.concatenate([np.asarray(each, dtype=np.int64) for each in labels]),
        )

    def rows_of(self, split: Split) -> slice:
        """The rows of one split."""
        first, last = np.searchsorted(self.split, [SPLITS.index(split), SPLITS.index(split) + 1])
        return slice(int(first), int(last))

    def __len__(self) -> int:
        return len(self.split)


@dataclass(frozen=True)
class Measures:
    """Numbers of each image, in the order of `RowIndex`."""

    channel_means: NDArray[np.float32]
    """(rows, 3), 0 to 255."""
    channel_squares: NDArray[np.float32]
    """(rows, 3): means of the squared values."""
    contrast: NDArray[np.float32]
    """(rows,): the standard deviation of the channel that varies most, in grey levels."""
    clipped: NDArray[np.float32]
    """(rows,): the part of the pixels that are pure black or pure white, 0 to 1."""
    representative: NDArray[np.int64]
    """(rows,): the first row with the same pixels."""


def measure(dataset: Artifact) -> tuple[Measures, NDArray[np.uint8]]:
    """Read every image once.

    Returns:
        The measures, and the images as thumbnails (rows, 28, 28, 3).
    """
    images = load_dataset(dataset)
    rows = sum(len(images[split]) for split in SPLITS)
    means = np.empty((rows, 3), dtype=np.float32)
    squares = np.empty((rows, 3), dtype=np.float32)
    clipped = np.empty(rows, dtype=np.float32)
    representative = np.empty(rows, dtype=np.int64)
    thumbnails = np.empty((rows, THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)
    first_with: dict[bytes, int] = {}
    start = 0
    for split in SPLITS:
        for block in pixel_blocks(images[split]):
            some = slice(start, start + len(block))
            levels = block.reshape(len(block), -1, 3)
            means[some] = levels.mean(axis=1, dtype=np.float32)
            squares[some] = np.square(levels, dtype=np.float32).mean(axis=1)
            clipped[some] = ((levels == 0).all(axis=2) | (levels == 255).all(axis=2)).mean(axis=1)
            for row, pixels in enumerate(block, start=start):
                digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
                representative[row] = first_with.setdefault(digest, row)
            thumbnails[some] = shrink(block)
            start += len(block)
    variance = np.maximum(squares - np.square(means), 0)
    return Measures(means, squares, np.sqrt(variance.max(axis=1)), clipped, representative), thumbnails


def shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (rows, size, size, 3) as thumbnails (rows, 28, 28, 3), by averaging areas."""
    if pixels.shape[1] == THUMBNAIL:
        return pixels
    from PIL import Image

    size = (THUMBNAIL, THUMBNAIL)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in pixels])


def read_pixels(dataset: Artifact, split: Split, rows: list[int]) -> list[NDArray[np.uint8]]:
    """The images of some rows of a split, each (size, size, 3)."""
    if not rows:
        return []
    return [np.asarray(image.convert("RGB"), dtype=np.uint8) for image in load_dataset(dataset)[split][rows]["image"]]
