"""Who holds what: the label histogram of every client, and the partition's skew as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.partition import load_histograms, load_scanner_shift
from fedforge_runtime.data.skew import Skew, measure_skew
from fedforge_runtime.reporting.charts import heat_map
from fedforge_runtime.reporting.exhibits import Figure, Table, score
from fedforge_runtime.wording import count

_MOST_ROWS = 50


@dataclass(frozen=True)
class PartitionSection:
    """How the training rows are spread over clients."""

    facts: Mapping[str, str]
    figures: Sequence[Figure]
    clients: Table


def read_partition(folder: Path) -> PartitionSection | None:
    """The section of a stored partition; `None` when its files are not there any more."""
    if not (folder / "histograms.json").is_file():
        return None
    counts, class_names = load_histograms(folder)
    shifts = [load_scanner_shift(folder, client) for client in range(len(counts))]
    return partition_section(counts, class_names, scanners=[shift.describe() for shift in shifts if shift is not None])


def partition_section(
    counts: NDArray[np.integer[Any]], class_names: Sequence[str], *, scanners: Sequence[str] = ()
) -> PartitionSection:
    """From the rows of each client and class.

    Args:
        counts: (clients, classes), training and validation rows together.
        class_names: by class id.
        scanners: what each client's scanner does to its images, in words; empty without feature skew.
    """
    skew = measure_skew(counts)
    shown = counts[:_MOST_ROWS]
    clients = [f"client {number}" for number in range(len(shown))]
    part = f"the first {_MOST_ROWS} of {count(len(counts))} clients" if len(counts) > len(shown) else "each client"
    with np.errstate(invalid="ignore"):
        shares = shown / shown.sum(axis=1, keepdims=True)
    return PartitionSection(
        facts=_facts(skew),
        figures=[
            Figure(
                heat_map(shown, rows=clients, columns=class_names, value_format=".0f"),
                f"Rows of each class, {part}: training and validation rows together.",
            ),
            Figure(
                heat_map(shares, rows=clients, columns=class_names, value_format=".2f"),
                f"The same as part of the client's rows, {part}: where lines differ much, labels are skewed.",
            ),
        ],
        clients=_table(skew, class_names, scanners),
    )


def _facts(skew: Skew) -> dict[str, str]:
    smallest, largest = (chosen(skew.sites, key=lambda site: site.rows) for chosen in (min, max))
    return {
        "clients": count(len(skew.sites)),
        "rows": count(sum(skew.class_rows)),
        "smallest client": f"client {smallest.client}, {count(smallest.rows)} rows",
        "largest client": f"client {largest.client}, {count(largest.rows)} rows",
        "label skew": f"{score(skew.mean_distance)} mean Jensen-Shannon distance to the mix of all rows (0 the same, "
        f"1 no class in common); {score(skew.farthest.distance)} at most, client {skew.farthest.client}",
        "size skew": f"{score(skew.size_gini)} Gini coefficient (0 all equal, towards 1 one client holds everything)",
        "effective classes": f"{skew.effective_classes:.2f} over all rows",
        "clients that lack a class": count(sum(bool(site.missing_classes) for site in skew.sites)),
    }


def _table(skew: Skew, class_names: Sequence[str], scanners: Sequence[str]) -> Table:
    headings = ["client", "rows", "label distance", "effective classes", "largest class", "classes it lacks"]
    rows = [
        [
            str(site.client),
            count(site.rows),
            score(site.distance),
            f"{site.effective_classes:.2f}",
            f"{class_names[int(np.argmax(site.class_rows))]} ({max(site.class_rows) / max(site.rows, 1):.0%})",
            ", ".join(class_names[missing] for missing in site.missing_classes) or "none",
            *([scanners[site.client]] if scanners else []),
        ]
        for site in skew.sites
    ]
    return Table([*headings, *(["scanner"] if scanners else [])], rows, range(1, 4))
