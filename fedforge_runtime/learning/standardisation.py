"""Per-dimension standardisation of features, from sums that clients can share without sharing a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

_SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class FeatureSums:
    """One client's share: how many rows, and per dimension the sum and the sum of squares."""

    count: int
    total: Float64
    total_of_squares: Float64

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> FeatureSums:
        """Sums over `features` of shape (rows, dimensions), in float64."""
        rows = np.asarray(features, dtype=np.float64)
        return cls(count=len(rows), total=rows.sum(axis=0), total_of_squares=np.square(rows).sum(axis=0))


@dataclass(frozen=True)
class Standardisation:
    """`(features - mean) / scale`, both of shape (dimensions,) in float32."""

    mean: Float32
    scale: Float32

    @classmethod
    def from_sums(cls, shares: Iterable[FeatureSums]) -> Standardisation:
        """Mean and standard deviation over all clients' rows; a constant dimension gets scale 1.

        Raises:
            ValueError: no share has a row.
        """
        shares = list(shares)
        count = sum(share.count for share in shares)
        if count == 0:
            raise ValueError("no client has a row to standardise by")
        mean = sum(share.total for share in shares) / count
        mean_of_squares = sum(share.total_of_squares for share in shares) / count
        scale = np.sqrt(np.maximum(mean_of_squares - np.square(mean), 0.0))
        scale = np.where(scale < _SMALLEST_SCALE, 1.0, scale)
        return cls(mean=np.asarray(mean, dtype=np.float32), scale=np.asarray(scale, dtype=np.float32))

    def fold_into(self, weight: Float32, bias: Float32) -> tuple[Float32, Float32]:
        """The head on raw features that equals `weight`, `bias` on standardised ones.

        Args:
            weight: (classes, dimensions).
            bias: (classes,).
        """
        folded = weight.astype(np.float64) / self.scale.astype(np.float64)
        folded_bias = bias.astype(np.float64) - folded @ self.mean.astype(np.float64)
        return folded.astype(np.float32), folded_bias.astype(np.float32)
