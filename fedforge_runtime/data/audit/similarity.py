"""How alike two images are, pixel by pixel, whatever their brightness and contrast.

Two numbers, because look-alikes pass either of them alone. `correlation` compares the whole picture: round cells
on a pale ground reach 0.97 with each other. `detail` compares what is left when each pixel's surroundings are
taken away: a copy keeps its texture, a look-alike has another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.perceptual_hash import LARGEST_SHIFT, SHIFTS

_SURROUNDINGS = 2
_PAIRS_AT_ONCE = 512
_TINY = 1e-6
_FEWEST_PIXELS = 0.1


@dataclass(frozen=True)
class Similarity:
    """Of some pairs of images, shape (pairs,) each, -1 to 1."""

    correlation: NDArray[np.float64]
    """Pearson's, over pixels and channels, each channel centred for itself."""
    detail: NDArray[np.float64]
    """The same of the images without their 5x5 local means."""


def compare_moved(
    thumbnails: NDArray[np.uint8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    shift: NDArray[np.int64],
    *,
    correlation_of_interest: float = -1.0,
) -> Similarity:
    """Compare the middle of the first images with the moved window of the second ones.

    Pixels that are clipped (0 or 255) in one of the two say nothing of the copy's brightness and are left out.

    Args:
        thumbnails: (rows, size, size, 3).
        first, second: rows, (pairs,).
        shift: places in `SHIFTS`, (pairs,).
        correlation_of_interest: `detail` is computed only where the correlation reaches this; 0 elsewhere.
    """
    correlation = np.zeros(len(first))
    detail = np.zeros(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        one = _windows(thumbnails, first[some], np.zeros((len(first[some]), 2), dtype=np.int64))
        other = _windows(thumbnails, second[some], np.asarray(SHIFTS)[shift[some]])
        weights = _unclipped(one, other)
        correlation[some] = correlate(one, other, weights)
        interesting = correlation[some] >= correlation_of_interest
        if interesting.any():
            edge = _SURROUNDINGS
            fine_one, fine_other = without_surroundings(one[interesting]), without_surroundings(other[interesting])
            inner = weights[interesting][:, edge:-edge, edge:-edge]
            detail[some][interesting] = correlate(fine_one, fine_other, inner)
    return Similarity(correlation, detail)


def correlate(
    one: NDArray[np.float32], other: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Weighted correlation of images (pairs, height, width, channels); 0 where almost nothing has weight."""
    total = weights.sum(axis=(1, 2), keepdims=True)
    safe = np.maximum(total, 1)
    one = (one - (one * weights).sum(axis=(1, 2), keepdims=True) / safe) * weights
    other = (other - (other * weights).sum(axis=(1, 2), keepdims=True) / safe) * weights
    covariance = np.einsum("nhwc,nhwc->n", one, other)
    scale = np.einsum("nhwc,nhwc->n", one, one) * np.einsum("nhwc,nhwc->n", other, other)
    enough = total.sum(axis=(1, 2, 3)) >= _FEWEST_PIXELS * weights[0].size if len(weights) else True
    result: NDArray[np.float64] = np.where(enough, covariance / np.sqrt(scale + _TINY), 0.0)
    return result


def without_surroundings(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (pairs, height, width, channels) less their 5x5 local means, two pixels smaller on each side."""
    width = 2 * _SURROUNDINGS + 1
    mean = _running_sum(_running_sum(images, width, 1), width, 2) / np.float32(width * width)
    inner = slice(_SURROUNDINGS, -_SURROUNDINGS)
    return images[:, inner, inner] - mean


def _running_sum(images: NDArray[np.float32], width: int, axis: int) -> NDArray[np.float32]:
    views = np.lib.stride_tricks.sliding_window_view(images, width, axis=axis)
    total: NDArray[np.float32] = views.sum(axis=-1, dtype=np.float32)
    return total


def _windows(thumbnails: NDArray[np.uint8], rows: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.float32]:
    middle = np.arange(LARGEST_SHIFT, thumbnails.shape[1] - LARGEST_SHIFT)
    down = middle[np.newaxis, :] + shifts[:, :1]
    right = middle[np.newaxis, :] + shifts[:, 1:]
    return thumbnails[rows[:, np.newaxis, np.newaxis], down[:, :, np.newaxis], right[:, np.newaxis, :]].astype(
        np.float32
    )


def _unclipped(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((one > 0) & (one < 255) & (other > 0) & (other < 255)).astype(np.float32)
