"""An audit as one page: the verdict, every finding with pictures of what it is about, balance and colours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.audit.audit import Audit
from fedforge_runtime.data.audit.document import AuditDocument, FindingDocument
from fedforge_runtime.data.audit.findings import Finding
from fedforge_runtime.data.audit.markdown import likeness, search_note, state, verdict
from fedforge_runtime.data.audit.pictures import RowIndex, read_pixels
from fedforge_runtime.data.sources.datasets import SPLITS
from fedforge_runtime.reporting.charts import bar_chart, histogram
from fedforge_runtime.reporting.page import Figure, Highlight, Table, data_uri, render_page, shrunk
from fedforge_runtime.wording import count, short_name

_PICTURES_A_FINDING = 24
_LARGEST_GROUP = 2


@dataclass(frozen=True)
class PairPictures:
    """One pair, or one image, with what is to be known of it."""

    source: str
    """Data URI of the images side by side."""
    alternative: str
    places: tuple[str, ...]
    """Split, row and class of each."""
    likeness: str
    conflicting: bool


@dataclass(frozen=True)
class FindingExhibit:
    """A finding as the page shows it."""

    document: FindingDocument
    state: str
    pictures: Sequence[PairPictures]
    not_shown: int
    """How many more pairs or images there are in the tables."""


def audit_page(audit: Audit, document: AuditDocument) -> str:
    """The HTML of an audit.

    Args:
        document: the same as `report.json`.
    """
    documents = {each["id"]: each for each in document["findings"]}
    return render_page(
        "audit.html.j2",
        facts=audit.facts,
        document=document,
        verdict=verdict(document),
        search_note=search_note(document),
        highlights=_highlights(audit, document),
        exhibits=[_exhibit(audit, finding, documents[finding.id]) for finding in audit.findings],
        balance=_balance(document),
        colours=list(_colours(audit)),
        splits=_splits_table(document),
        classes=_classes_table(document),
        exceptions=_exceptions_table(document),
    )


def _highlights(audit: Audit, document: AuditDocument) -> list[Highlight]:
    found = {each.id: each for each in audit.findings}

    def number(name: str) -> str:
        return count(found[name].count) if name in found else "0"

    evaluation = int(np.count_nonzero(audit.rows.split))
    across = [each for each in audit.findings if each.id.endswith("across-splits")]
    affected = {row for each in across for group in each.groups for row in group}
    leaked = sum(1 for row in affected if audit.rows.split[row] != 0)
    highlights = [
        Highlight("images", count(len(audit.rows)), f"{len(audit.facts.class_names)} classes"),
        Highlight("findings that block", count(len(document["blocking"])), f"of {len(audit.findings)} findings"),
        Highlight(
            "evaluated rows that are not new",
            f"{leaked / max(evaluation, 1):.1%}",
            f"{count(leaked)} of {count(evaluation)} in validation and test",
        ),
        Highlight("exact duplicates across splits", number("exact-duplicates-across-splits"), "groups"),
        Highlight("near duplicates across splits", number("near-duplicates-across-splits"), "groups"),
    ]
    if audit.groups:
        highlights.append(Highlight("groups across splits", number("groups-across-splits"), audit.groups.path.name))
    return highlights


def _exhibit(audit: Audit, finding: Finding, document: FindingDocument) -> FindingExhibit:
    shown: list[tuple[int, ...]] = [(pair.first, pair.second) for pair in finding.pairs] or [
        group[:_LARGEST_GROUP] for group in finding.groups
    ]
    chosen = shown[:_PICTURES_A_FINDING]
    words = [likeness(each) for each in document["pairs"][:_PICTURES_A_FINDING]] or [""] * len(chosen)
    pixels = _pixels_of(audit, sorted({row for rows in chosen for row in rows}))
    pictures = [_pair_pictures(audit, rows, text, pixels) for rows, text in zip(chosen, words, strict=True)]
    return FindingExhibit(document, state(document), pictures, len(shown) - len(chosen))


def _pixels_of(audit: Audit, rows: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    by_split: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_split[int(audit.rows.split[row])].append(row)
    pixels: dict[int, NDArray[np.uint8]] = {}
    for place, some in by_split.items():
        images = read_pixels(audit.dataset, SPLITS[place], [int(audit.rows.index[row]) for row in some])
        pixels.update(zip(some, map(shrunk, images), strict=True))
    return pixels


def _pair_pictures(
    audit: Audit, rows: Sequence[int], text: str, pixels: Mapping[int, NDArray[np.uint8]]
) -> PairPictures:
    gap = np.full((pixels[rows[0]].shape[0], 2, 3), 255, dtype=np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for row in rows:
        parts += [gap, pixels[row]] if parts else [pixels[row]]
    places = tuple(_place(audit.rows, row, audit.facts.class_names) for row in rows)
    return PairPictures(
        source=data_uri(np.concatenate(parts, axis=1)),
        alternative=" beside ".join(places),
        places=places,
        likeness=text,
        conflicting=len({int(audit.rows.labels[row]) for row in rows}) > 1,
    )


def _place(rows: RowIndex, row: int, class_names: Sequence[str]) -> str:
    return f"{SPLITS[rows.split[row]]} {rows.index[row]}: {short_name(class_names[rows.labels[row]])}"


def _balance(document: AuditDocument) -> Figure:
    names = [short_name(name) for name in document["dataset"]["class_names"]]
    shares = {
        each["split"]: [100 * rows / max(each["rows"], 1) for rows in each["class_rows"]] for each in document["splits"]
    }
    return Figure(
        bar_chart(names, shares, y_label="% of the split's rows"),
        "The mix of classes in each split. Unequal bars of one class: the splits do not ask the same question.",
    )


def _colours(audit: Audit) -> Iterator[Figure]:
    for channel, name in enumerate(("red", "green", "blue")):
        means = audit.search.measures.channel_means[:, channel].astype(np.float64)
        edges = np.histogram_bin_edges(means, bins=32)
        drawn: dict[str, list[float]] = {split: _thousand(means[audit.rows.rows_of(split)], edges) for split in SPLITS}
        yield Figure(
            histogram(drawn, bins=edges.tolist(), x_label=f"mean {name} of an image", y_label="images"),
            f"How bright the images are in {name}; every split is drawn with the same number of images.",
        )


def _thousand(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    """Values with the same histogram in thousandths, so that splits of unequal size can be compared."""
    counts, _ = np.histogram(values, bins=edges)
    thousandths = np.rint(1000 * counts / max(counts.sum(), 1)).astype(np.int64)
    return [float(value) for value in np.repeat((edges[:-1] + edges[1:]) / 2, thousandths)]


def _splits_table(document: AuditDocument) -> Table:
    rows = [
        [
            each["split"],
            count(each["rows"]),
            count(each["published_rows"]),
            f"{each['imbalance_ratio']:.1f}",
            *(
                f"{mean:.1f} ± {deviation:.1f}"
                for mean, deviation in zip(each["channel_mean"], each["channel_standard_deviation"], strict=True)
            ),
            ", ".join(f"{value:+.2f}" for value in each["channel_shift"]),
        ]
        for each in document["splits"]
    ]
    headings = [
        "split",
        "rows",
        "published",
        "largest to smallest class",
        "red",
        "green",
        "blue",
        "shift from training",
    ]
    return Table(headings, rows, numeric=range(1, 8))


def _classes_table(document: AuditDocument) -> Table:
    rows = [
        [
            name,
            *(
                f"{count(each['class_rows'][code])} ({each['class_rows'][code] / max(each['rows'], 1):.1%})"
                for each in document["splits"]
            ),
        ]
        for code, name in enumerate(document["dataset"]["class_names"])
    ]
    return Table(["class", *SPLITS], rows, numeric=range(1, 4))


def _exceptions_table(document: AuditDocument) -> Table | None:
    rows = [
        [each["finding"], count(each["count"]), each["reason"], each["by"], each["at"]]
        for each in document["exceptions"]
    ]
    return Table(["finding", "for at most", "reason", "by", "when"], rows, numeric=[1]) if rows else None
