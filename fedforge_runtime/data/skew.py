"""How unlike the sites of a partition are: in their mix of classes and in their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer[Any]]
_DECIMALS = 6


@dataclass(frozen=True)
class SiteSkew:
    """One site against all."""

    client: int
    class_rows: tuple[int, ...]
    """Rows by class."""
    distance: float
    """Jensen-Shannon distance (base 2) of the site's mix of classes to that of all rows: 0 equal, 1 disjoint."""
    effective_classes: float
    """The number of equally frequent classes that would be as varied: from 1 to the number of classes."""
    missing_classes: tuple[int, ...]
    """Classes that others hold and this site does not."""

    @property
    def rows(self) -> int:
        return sum(self.class_rows)

    def summary(self) -> dict[str, Any]:
        """The site in numbers, without its rows by class."""
        return {
            "client": self.client,
            "rows": self.rows,
            "jensen_shannon_distance": round(self.distance, _DECIMALS),
            "effective_classes": round(self.effective_classes, _DECIMALS),
        }


@dataclass(frozen=True)
class Skew:
    """All sites of a partition."""

    sites: tuple[SiteSkew, ...]
    class_rows: tuple[int, ...]
    """Rows by class over all sites."""
    effective_classes: float
    """Of all rows together."""
    size_gini: float
    """Gini coefficient of the sites' sizes: 0 when all are equal, towards 1 when one holds everything."""

    @property
    def mean_distance(self) -> float:
        """Of the sites' distances, each site counting by its rows."""
        weights = [site.rows for site in self.sites]
        return float(np.average([site.distance for site in self.sites], weights=weights if sum(weights) else None))

    @property
    def farthest(self) -> SiteSkew:
        """The site whose mix of classes is least like that of all rows."""
        return max(self.sites, key=lambda site: site.distance)

    def summary(self) -> dict[str, Any]:
        """The partition as a whole in numbers, and by client what tells it from the others."""
        return {
            "mean_jensen_shannon_distance": round(self.mean_distance, _DECIMALS),
            "largest_jensen_shannon_distance": round(self.farthest.distance, _DECIMALS),
            "effective_classes": round(self.effective_classes, _DECIMALS),
            "size_gini": round(self.size_gini, _DECIMALS),
            "clients_that_lack_a_class": sum(bool(site.missing_classes) for site in self.sites),
            "clients": [site.summary() for site in self.sites],
        }

    def to_json(self, class_names: Sequence[str] = ()) -> dict[str, Any]:
        """Every number, rows by class included; classes by number, with their names where they are given."""
        names = {"class_names": list(class_names)} if class_names else {}
        clients = [
            site.summary() | {"class_rows": list(site.class_rows), "missing_classes": list(site.missing_classes)}
            for site in self.sites
        ]
        return self.summary() | names | {"class_rows": list(self.class_rows), "clients": clients}


def measure_skew(counts: Counts) -> Skew:
    """Every measure of a partition.

    Args:
        counts: rows by site and class, integers of shape (sites, classes); at least one site and one row.

    Raises:
        ValueError: counts of another shape, or no rows.
    """
    if counts.ndim != 2 or not counts.size or counts.min() < 0 or not counts.sum():
        raise ValueError(f"counts must be rows by site and class, not an array of shape {counts.shape}")
    totals = counts.sum(axis=0)
    sites = tuple(
        SiteSkew(
            client=number,
            class_rows=tuple(int(value) for value in row),
            distance=jensen_shannon_distance(row, totals),
            effective_classes=effective_classes(row),
            missing_classes=tuple(int(value) for value in np.flatnonzero((row == 0) & (totals > 0))),
        )
        for number, row in enumerate(counts)
    )
    return Skew(
        sites=sites,
        class_rows=tuple(int(value) for value in totals),
        effective_classes=effective_classes(totals),
        size_gini=gini(counts.sum(axis=1)),
    )


def jensen_shannon_distance(first: Counts, second: Counts) -> float:
    """Square root of the Jensen-Shannon divergence of two histograms, base 2, in [0, 1].

    It is a metric; 0 for the same proportions, 1 when no class is shared. A histogram without rows is as far as
    can be from any other.

    Source: Endres and Schindelin, "A new metric for probability distributions",
    IEEE Transactions on Information Theory 49 (2003).

    Args:
        first, second: rows by class, of the same shape (classes,).
    """
    if not first.sum() or not second.sum():
        return 1.0 if first.sum() or second.sum() else 0.0
    one, other = first / first.sum(), second / second.sum()
    middle = (one + other) / 2
    divergence = (_divergence(one, middle) + _divergence(other, middle)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def effective_classes(counts: Counts) -> float:
    """The exponential of the entropy: 1 for a single class, the number of classes when all are equally frequent.

    Args:
        counts: rows by class, shape (classes,); 0 when there are none.
    """
    if not counts.sum():
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def gini(sizes: Counts) -> float:
    """Gini coefficient: the mean difference between two sites, as a part of twice the mean size.

    Args:
        sizes: rows by site, shape (sites,).

    Returns:
        0 when all are equal, at most 1 - 1 / sites, when one holds everything.
    """
    count, total = len(sizes), int(sizes.sum())
    if not total:
        return 0.0
    return float(2 * (np.arange(1, count + 1) * np.sort(sizes)).sum() / (count * total) - (count + 1) / count)


def _divergence(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Kullback and Leibler's, base 2; `other` is positive wherever `one` is."""
    present = one > 0
    return float((one[present] * np.log2(one[present] / other[present])).sum())
