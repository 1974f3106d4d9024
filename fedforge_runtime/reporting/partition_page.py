"""A partition as one page: its story, who holds what, how unlike the sites are, and what their scanners do.

And as a section of a run's report: the label histogram of every client, and the partition's skew as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.partition import load_histograms, load_scanner_shift
from fedforge_runtime.data.partition.preview import PartitionPreview
from fedforge_runtime.data.partition.rows import Partition
from fedforge_runtime.data.scanner import apply_shift
from fedforge_runtime.data.skew import Skew, measure_skew
from fedforge_runtime.data.sources.datasets import load_dataset, load_labels, read_dataset_facts
from fedforge_runtime.reporting.charts import bar_chart, heat_map
from fedforge_runtime.reporting.page import Figure, Highlight, Table, data_uri, render_page, score, shrunk
from fedforge_runtime.storage.artifacts import Artifact
from fedforge_runtime.wording import count, short_name

_MOST_SITES = 50
_SITES_WITH_PICTURES = 20
_PICTURES_PER_SITE = 6
_GAP = 2


@dataclass(frozen=True)
class ScannerPictures:
    """Images of one site: as they were taken, and as its scanner shows them."""

    site: str
    description: str
    source: str
    """Data URI: originals in the upper row, the same images through the scanner in the lower one."""
    alternative: str


def partition_page(preview: PartitionPreview, partition: Partition, dataset: Artifact) -> str:
    """The HTML of a preview; reads a few images of the dataset when the sites' scanners differ.

    Args:
        preview: what is to be shown.
        partition: whose rows it is of.
        dataset: where the rows are.
    """
    pictures = list(_scanner_pictures(preview, partition, dataset)) if preview.shifts else []
    return render_page(
        "partition.html.j2",
        preview=preview,
        facts=read_dataset_facts(dataset),
        highlights=_highlights(preview),
        figures=_figures(preview),
        sites=_sites_table(preview),
        classes=_class_table(preview),
        pictures=pictures,
        sites_without_pictures=max(len(preview.shifts) - len(pictures), 0),
        group_lines=[f"{group.sites}: {group.name}" for group in preview.groups],
        total=count(sum(preview.skew.class_rows)),
    )


def _highlights(preview: PartitionPreview) -> list[Highlight]:
    skew = preview.skew
    sizes = [site.rows for site in skew.sites]
    return [
        Highlight("sites", count(len(sizes)), f"{count(min(sizes))} to {count(max(sizes))} rows each"),
        Highlight("mean distance", f"{skew.mean_distance:.2f}", "of a site's mix of classes to all rows', 0 to 1"),
        Highlight("farthest site", f"{skew.farthest.distance:.2f}", f"site {skew.farthest.client}"),
        Highlight(
            "effective classes",
            f"{np.mean([site.effective_classes for site in skew.sites]):.1f}",
            f"a site, of {skew.effective_classes:.1f} in all rows",
        ),
        Highlight("Gini of sizes", f"{skew.size_gini:.2f}", "0: all sites are equally large"),
        Highlight(
            "lack a class",
            count(sum(bool(site.missing_classes) for site in skew.sites)),
            f"of {count(len(sizes))} sites",
        ),
    ]


def _figures(preview: PartitionPreview) -> list[Figure]:
    sites = preview.skew.sites[:_MOST_SITES]
    part = f" The first {_MOST_SITES} sites are drawn." if len(preview.skew.sites) > _MOST_SITES else ""
    labels = [f"site {site.client}" for site in sites]
    names = [short_name(name) for name in preview.class_names]
    counts = np.array([site.class_rows for site in sites], dtype=float)
    shares = np.where(counts > 0, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.nan)
    return [
        Figure(
            heat_map(shares * 100, rows=labels, columns=names, value_format=".0f", title="Mix of classes by site"),
            f"Each class as a part of the site's rows, in per cent; empty where it has none of them. "
            f"Equal lines would be no label skew.{part}",
        ),
        Figure(
            bar_chart(
                [str(site.client) for site in sites],
                {name: counts[:, code].tolist() for code, name in enumerate(names)},
                y_label="rows",
                stacked=True,
                title="Rows by site and class",
            ),
            f"Rows of each site by class: bars of unequal height are unequal sites.{part}",
        ),
        Figure(
            bar_chart(
                [str(site.client) for site in sites],
                {"Jensen-Shannon distance": [site.distance for site in sites]},
                y_label="distance to all rows",
                title="Distance of each site's mix of classes to that of all rows",
            ),
            f"Jensen-Shannon distance of each site: 0 has the mix of all rows, 1 nothing in common with it.{part}",
        ),
    ]


def _sites_table(preview: PartitionPreview) -> Table:
    group_of = {number: group.name for group in preview.groups for number in range(group.first, group.last + 1)}
    with_groups = len(preview.groups) > 1
    headings = [
        "site",
        *(["group"] if with_groups else []),
        "rows",
        "for training",
        "for its evaluation",
        "distance",
        "effective classes",
        "lacks",
    ]
    rows = [
        [
            str(site.client),
            *([group_of[site.client]] if with_groups else []),
            count(site.rows),
            count(site.rows - preview.validation_rows[site.client]),
            count(preview.validation_rows[site.client]),
            f"{site.distance:.3f}",
            f"{site.effective_classes:.1f}",
            ", ".join(short_name(preview.class_names[code]) for code in site.missing_classes) or "nothing",
        ]
        for site in preview.skew.sites
    ]
    first_number = headings.index("rows")
    lacking = [number for number, site in enumerate(preview.skew.sites) if site.missing_classes]
    return Table(headings, rows, numeric=range(first_number, first_number + 5), marked=lacking)


def _class_table(preview: PartitionPreview) -> Table:
    """Rows by class and site, classes downwards: there are fewer of them, and their names are long."""
    sites = preview.skew.sites[:_MOST_SITES]
    rows = [
        # A space lets a long name break.
        [
            name.replace("(", " ("),
            count(preview.skew.class_rows[code]),
            *(count(site.class_rows[code]) for site in sites),
        ]
        for code, name in enumerate(preview.class_names)
    ]
    return Table(["class", "all", *(f"site {site.client}" for site in sites)], rows, numeric=range(1, len(sites) + 2))


def _scanner_pictures(preview: PartitionPreview, partition: Partition, dataset: Artifact) -> Iterator[ScannerPictures]:
    images, labels = load_dataset(dataset)["train"], load_labels(dataset, "train")
    for number, shift in enumerate(preview.shifts[:_SITES_WITH_PICTURES]):
        chosen = _of_many_classes(partition.clients[number].train, labels)
        originals = [np.asarray(images[int(row)]["image"].convert("RGB"), dtype=np.uint8) for row in chosen]
        before, after = _strip(originals), _strip([apply_shift(original, shift) for original in originals])
        gap = np.full((_GAP, *before.shape[1:]), 255, dtype=np.uint8)
        yield ScannerPictures(
            site=f"site {number}",
            description=shift.describe(),
            source=data_uri(np.concatenate([before, gap, after])),
            alternative=f"{len(originals)} images of site {number}, before and after its scanner's shift",
        )


def _of_many_classes(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> list[int]:
    """Some rows, the first of each class before the second of any."""
    of_class = labels[rows]
    rank = np.array([np.count_nonzero(of_class[:place] == of_class[place]) for place in range(min(len(rows), 500))])
    order = np.lexsort((of_class[: len(rank)], rank))
    return [int(row) for row in rows[: len(rank)][order][:_PICTURES_PER_SITE]]


def _strip(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images side by side, small enough for a page."""
    return np.concatenate([shrunk(image) for image in images], axis=1)


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
    shown = counts[:_MOST_SITES]
    clients = [f"client {number}" for number in range(len(shown))]
    part = f"the first {_MOST_SITES} of {count(len(counts))} clients" if len(counts) > len(shown) else "each client"
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
