"""Near duplicates that a hash misses: turned, mirrored, scaled or far moved, found by a backbone's features.

Features propose pairs: each image's nearest neighbour by cosine, after whitening (Jégou and Chum, "Negative
evidences and co-occurrences in image retrieval", ECCV 2012): the raw features of medical images are all alike.
Pixels confirm them: one image is turned, mirrored, scaled and moved until it fits the other. Without this step
two empty backgrounds, which any backbone takes for the same, would be called duplicates.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.near_duplicates import Components, Edges, Thresholds
from fedforge_runtime.data.audit.similarity import grey, without_surroundings
from fedforge_runtime.processes.limits import usable_cores

MOST_ALIGNED = 1_000
"""So many of the most similar pairs are aligned; aligning one takes some hundredths of a second."""

_ROWS_AT_ONCE = 512
_PAIRS_AT_ONCE = 32
_FARTHEST = 8
_SCALES = (1.0, 0.85, 1.18)
_ORIENTATIONS = 8
_TINY = np.float32(1e-6)
_REGULARISATION = 1e-3
"""Added to the variances, as a part of the largest: the smallest are noise."""


@dataclass(frozen=True)
class FeatureSearch:
    """What the features added to the groups of near duplicates."""

    edges: Edges
    candidates: int
    """Pairs of nearest neighbours above the cosine threshold that were not joined already."""
    aligned: int
    """How many of them were compared by their pixels."""


def find_by_features(
    thumbnails: NDArray[np.uint8],
    features: NDArray[np.float32],
    components: Components,
    thresholds: Thresholds,
) -> FeatureSearch:
    """Search nearest neighbours and confirm them.

    Args:
        thumbnails: (images, 28, 28, 3).
        features: of the same images, (images, size).
        components: of the same images; pairs within one are left out, and what is found is joined.
    """
    first, second, cosine = nearest_neighbours(whiten(features), components.refresh(), thresholds.cosine)
    candidates, aligned = len(first), min(len(first), MOST_ALIGNED)
    first, second, cosine = first[:aligned], second[:aligned], cosine[:aligned]
    some = [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, aligned, _PAIRS_AT_ONCE)]
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="align") as pool:
        parts = list(pool.map(lambda each: align(grey(thumbnails[first[each]]), grey(thumbnails[second[each]])), some))
    correlation = np.concatenate([*(part[0] for part in parts), np.empty(0)])
    detail = np.concatenate([*(part[1] for part in parts), np.empty(0)])
    alike = (correlation >= thresholds.aligned_correlation) & (detail >= thresholds.aligned_detail)
    joined = np.array(
        [bool(yes) and components.join(int(a), int(b)) for yes, a, b in zip(alike, first, second, strict=True)],
        dtype=bool,
    )
    components.refresh()
    edges = Edges(
        first=first[joined],
        second=second[joined],
        hash_distance=np.full(int(joined.sum()), -1),
        cosine=cosine[joined],
        correlation=correlation[joined],
        detail=detail[joined],
    )
    return FeatureSearch(edges, candidates, aligned)


def whiten(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (rows, size) without mean and correlation, each row of length one."""
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(centred, rowvar=False, dtype=np.float64)))
    floor = max(float(variances[-1]), np.finfo(np.float64).tiny) * _REGULARISATION
    whitened = centred @ (directions / np.sqrt(np.maximum(variances, 0) + floor)).astype(np.float32)
    length = np.linalg.norm(whitened, axis=1, keepdims=True)
    result: NDArray[np.float32] = whitened / np.maximum(length, np.finfo(np.float32).tiny)
    return result


def nearest_neighbours(
    directions: NDArray[np.float32], components: NDArray[np.int64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each row's nearest row of another component, where their cosine reaches the threshold.

    Args:
        directions: rows of length one, (rows, size).
        components: (rows,).

    Returns:
        First and second rows (first < second, each pair once) and their cosines, the most similar first.
    """
    rows = len(directions)
    neighbour = np.full(rows, -1, dtype=np.int64)
    best = np.full(rows, -1.0, dtype=np.float32)
    for start in range(0, rows, _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        cosines = directions[some] @ directions.T
        np.putmask(cosines, components[some, np.newaxis] == components[np.newaxis], np.float32(-2))
        neighbour[some] = cosines.argmax(axis=1)
        best[some] = cosines[np.arange(len(cosines)), neighbour[some]]
    row = np.flatnonzero(best >= threshold)
    first, second = np.minimum(row, neighbour[row]), np.maximum(row, neighbour[row])
    _, once = np.unique(first * rows + second, return_index=True)
    order = once[np.lexsort((second[once], first[once], -best[row][once]))]
    return first[order], second[order], best[row][order].astype(np.float64)


def align(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well the second images fit the first ones at best, over mirroring, quarter turns, scales and moves.

    Args:
        one, other: grey images (pairs, size, size).

    Returns:
        Correlation and detail (see `similarity`) where the correlation is greatest, (pairs,) each.
    """
    best, detail = np.full(len(one), -1.0), np.zeros(len(one))
    size = one.shape[1]
    fine_one = _fine(one)
    for scale in _SCALES:
        scaled = _scaled(other, scale)
        offset = (size - scaled.shape[1]) // 2
        for orientation in range(_ORIENTATIONS):
            turned = np.rot90(scaled, orientation % 4, axes=(1, 2))
            turned = np.ascontiguousarray(turned[:, :, ::-1] if orientation >= 4 else turned)
            fine = _fine(turned)
            for down in range(-_FARTHEST, _FARTHEST + 1):
                for right in range(-_FARTHEST, _FARTHEST + 1):
                    rows, moved_rows = _overlap(size, turned.shape[1], offset + down)
                    columns, moved_columns = _overlap(size, turned.shape[2], offset + right)
                    correlation = _correlation(one[:, rows, columns], turned[:, moved_rows, moved_columns])
                    better = correlation > best
                    if better.any():
                        best[better] = correlation[better]
                        edge = (slice(None), slice(2, -2), slice(2, -2))
                        detail[better] = _correlation(
                            fine_one[better][:, rows, columns][edge],
                            fine[better][:, moved_rows, moved_columns][edge],
                        )
    return best, detail


def _fine(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images without their surroundings, at their own size; the border is not to be used."""
    return np.pad(without_surroundings(images[..., np.newaxis])[..., 0], ((0, 0), (2, 2), (2, 2)))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    one = one - one.mean(axis=(1, 2), keepdims=True)
    other = other - other.mean(axis=(1, 2), keepdims=True)
    covariance = np.einsum("nhw,nhw->n", one, other)
    scale = np.einsum("nhw,nhw->n", one, one) * np.einsum("nhw,nhw->n", other, other)
    result: NDArray[np.float64] = covariance / np.sqrt(scale + _TINY)
    return result


def _overlap(size: int, moved_size: int, offset: int) -> tuple[slice, slice]:
    """The places of a line that a moved line covers, in the one's numbering and in the other's."""
    start, stop = max(0, offset), min(size, offset + moved_size)
    return slice(start, stop), slice(start - offset, stop - offset)


def _scaled(images: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Images made smaller, or their middle made larger to the same size."""
    if scale == 1:
        return images
    from PIL import Image

    size = images.shape[1]
    if scale < 1:
        target, box = round(size * scale), None
    else:
        margin = (size - size / scale) / 2
        target, box = size, (margin, margin, size - margin, size - margin)
    resized = [Image.fromarray(each).resize((target, target), Image.Resampling.BILINEAR, box=box) for each in images]
    return np.stack([np.asarray(each, dtype=np.float32) for each in resized])
