"""The perceptual hash of an image, of it moved by up to two pixels, and the search for pairs of nearly equal hashes.

The hash is the pHash of Zauner ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the
signs of an image's 63 lowest frequencies (discrete cosine transform, 8x8 without the mean) against their median.
It does not see brightness and contrast. At 28 pixels it does see a move by one pixel, so it is taken of the
middle 24x24 pixels and compared with that of all 25 windows of this size: a moved copy has the same pixels in one.
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

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Candidates:
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
