"""How alike two images are, pixel by pixel, whatever their brightness and contrast.

Two numbers, because look-alikes pass either of them alone. `correlation` compares the whole picture: round cells
on a pale ground reach 0.97 with each other. `detail` compares what is left when each pixel's surroundings are
taken away: a copy keeps its texture, a look-alike has another one.

What is compared is proposed by a perceptual hash, the pHash of Zauner ("Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010): the signs of an image's 63 lowest frequencies (discrete cosine transform, 8x8 without the
mean) against their median. It does not see brightness and contrast. At 28 pixels it does see a move by one pixel, so it
is taken of the middle 24x24 pixels and compared with that of all 25 windows of this size: a moved copy has the same
pixels in one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FREQUENCIES = 8
LARGEST_SHIFT = 2
SHIFTS: tuple[tuple[int, int], ...] = tuple(
    (down, right)
    for down in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    for right in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
)
"""(down, right) in pixels of the thumbnail."""
UNMOVED = SHIFTS.index((0, 0))

_ROWS_AT_ONCE = 4096
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_COLUMNS_AT_ONCE = 2048
_SURROUNDINGS = 2
_TINY = 1e-6
_FEWEST_PIXELS = 0.1


def compare_moved(
    thumbnails: NDArray[np.uint8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    shift: NDArray[np.int64],
    *,
    correlation_of_interest: float = -1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare the middle of the first images with the moved window of the second ones.

    Pixels that are clipped (0 or 255) in one of the two say nothing of the copy's brightness and are left out.

    Args:
        thumbnails: (rows, size, size, 3).
        first, second: rows, (pairs,).
        shift: places in `SHIFTS`, (pairs,).
        correlation_of_interest: the detail is computed only where the correlation reaches this; 0 elsewhere.

    Returns:
        Pearson's correlation over pixels and channels, each channel centred for itself, and detail, the same of the
        images without their 5x5 local means; -1 to 1, (pairs,) each.
    """
    one = _windows(thumbnails, first, np.zeros((len(first), 2), dtype=np.int64))
    other = _windows(thumbnails, second, np.asarray(SHIFTS)[shift])
    weights = ((one > 0) & (one < 255) & (other > 0) & (other < 255)).astype(np.float32)
    correlation, detail = correlate(one, other, weights), np.zeros(len(first))
    interesting = correlation >= correlation_of_interest
    if interesting.any():
        edge = _SURROUNDINGS
        fine_one, fine_other = without_surroundings(one[interesting]), without_surroundings(other[interesting])
        detail[interesting] = correlate(fine_one, fine_other, weights[interesting][:, edge:-edge, edge:-edge])
    return correlation, detail


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


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows with similar hashes, shape (pairs,) each."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    """Greater than `first`."""
    shift: NDArray[np.int64]
    """Place in `SHIFTS` at which the second row's hash is nearest to the first's."""
    distance: NDArray[np.int64]
    """Bits that differ."""

    def __len__(self) -> int:
        return len(self.first)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Candidates:
        return Candidates(self.first[places], self.second[places], self.shift[places], self.distance[places])


def grey(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma (rows, size, size) of RGB images (rows, size, size, 3)."""
    levels: NDArray[np.float32] = thumbnails @ _LUMA
    return levels


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hashes of all windows of all images.

    Args:
        thumbnails: (rows, size, size, 3).

    Returns:
        (25, rows): for each of `SHIFTS` the 63 bits of the window that is moved by it.
    """
    size = thumbnails.shape[1] - 2 * LARGEST_SHIFT
    transform = _cosines(size, FREQUENCIES)
    hashes = np.empty((len(SHIFTS), len(thumbnails)), dtype=np.uint64)
    for start in range(0, len(thumbnails), _ROWS_AT_ONCE):
        levels = grey(thumbnails[start : start + _ROWS_AT_ONCE])
        for place, (down, right) in enumerate(SHIFTS):
            top, left = LARGEST_SHIFT + down, LARGEST_SHIFT + right
            window = levels[:, top : top + size, left : left + size]
            frequencies = (transform @ window @ transform.T).reshape(len(window), -1)[:, 1:]
            bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
            padded = np.pad(bits, ((0, 0), (0, 64 - bits.shape[1])))
            hashes[place, start : start + len(window)] = np.packbits(padded, axis=1).view(np.uint64).ravel()
    return hashes


def search_block(
    hashes: NDArray[np.uint64], rows: range, radius: int, components: NDArray[np.int64] | None = None
) -> Candidates:
    """All pairs of one of `rows` and a later row whose hashes differ in at most `radius` bits under some shift.

    Args:
        hashes: (shifts, rows of the dataset); the shift `UNMOVED` of the first is compared with each of the second.
        rows: a few successive rows.
        radius: in bits.
        components: (rows of the dataset,); pairs within one component are left out.
    """
    unmoved = UNMOVED if len(hashes) == len(SHIFTS) else 0
    own = hashes[unmoved, rows.start : rows.stop, np.newaxis]
    total = hashes.shape[1]
    width = min(_COLUMNS_AT_ONCE, total)
    different = np.empty((len(own), width), dtype=np.uint64)
    distance = np.empty((len(own), width), dtype=np.uint8)
    least = np.empty((len(own), width), dtype=np.uint8)
    firsts, seconds = [], []
    for start in range(rows.start, total, width):
        stop = min(start + width, total)
        count = stop - start
        if components is not None and _all_equal(components[rows.start : rows.stop], components[start:stop]):
            continue
        least[:, :count] = 64
        for moved in hashes:
            np.bitwise_xor(own, moved[np.newaxis, start:stop], out=different[:, :count])
            np.bitwise_count(different[:, :count], out=distance[:, :count])
            np.minimum(least[:, :count], distance[:, :count], out=least[:, :count])
        found = np.flatnonzero(least[:, :count] <= radius)
        first, second = rows.start + found // count, start + found % count
        wanted = first < second
        if components is not None:
            wanted &= components[first] != components[second]
        firsts.append(first[wanted])
        seconds.append(second[wanted])
    empty = np.empty(0, dtype=np.int64)
    first = np.concatenate([*firsts, empty])
    second = np.concatenate([*seconds, empty])
    distances = np.bitwise_count(hashes[unmoved, first][np.newaxis] ^ hashes[:, second])
    shift = distances.argmin(axis=0)
    return Candidates(first, second, shift, distances[shift, np.arange(len(first))].astype(np.int64))


def _all_equal(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    return bool((first == first[0]).all() and (second == first[0]).all())


def _cosines(size: int, frequencies: int) -> NDArray[np.float32]:
    """The lowest rows of the orthonormal discrete cosine transform (type II), (frequencies, size)."""
    place, frequency = np.arange(size), np.arange(frequencies)[:, np.newaxis]
    matrix = np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    cosines: NDArray[np.float32] = matrix.astype(np.float32)
    return cosines
