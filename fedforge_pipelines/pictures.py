"""Charts and pictures on an asset's page; what they need is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines.display import picture
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.wording import short_name

_MOST_PICTURES = 8


def curves(rounds: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Training loss and validation scores by round."""
    from fedforge_runtime.reporting.charts import line_chart

    names = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
    series = {
        name: [
            (each["round"], each["validation_metrics"][name]) for each in rounds if name in each["validation_metrics"]
        ]
        for name in names
    }
    return picture(line_chart(series, x_label="round", y_label="validation score"), "validation scores by round")


def confusion_matrix(folder: RunFolder, class_names: Sequence[str]) -> dg.MarkdownMetadataValue:
    """True against predicted classes on the test split, as parts of each true class."""
    import numpy as np

    from fedforge_runtime.learning.predictions import read_predictions
    from fedforge_runtime.reporting.charts import heat_map

    names = [short_name(name) for name in class_names]
    counts = read_predictions(folder.test_predictions).confusion_matrix()
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    svg = heat_map(parts, rows=names, columns=names, value_format=".2f", x_label="predicted", y_label="true")
    return picture(svg, "confusion matrix on the test split")


def label_histograms(skew: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """Rows of each class at each site."""
    from fedforge_runtime.reporting.charts import bar_chart

    sites = [f"site {each['client']}" for each in skew["clients"]]
    series = {
        short_name(name): [float(each["class_rows"][number]) for each in skew["clients"]]
        for number, name in enumerate(skew["class_names"])
    }
    return picture(bar_chart(sites, series, y_label="training rows", stacked=True), "classes at each site")


def class_balance(report: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """Rows of each class in each split."""
    from fedforge_runtime.reporting.charts import bar_chart

    names = [short_name(name) for name in report["dataset"]["class_names"]]
    series = {split["split"]: [float(rows) for rows in split["class_rows"]] for split in report["splits"]}
    return picture(bar_chart(names, series, y_label="rows"), "rows of each class")


def of_page(page: str) -> dg.MarkdownMetadataValue:
    """The first pictures of a report: what was found, side by side."""
    found = _Pictures()
    found.feed(Path(page).read_text(encoding="utf-8"))
    lines = [f"{title}\n\n![{title}]({source})" for source, title in found.pictures[:_MOST_PICTURES]]
    return dg.MetadataValue.md("\n\n".join(lines) or "There is nothing to show.")


def shape_of_features(folder: Path) -> tuple[dict[str, int], bool]:
    """Rows by split, and whether every value is a finite number."""
    import numpy as np

    rows, finite = {}, True
    for file in sorted(folder.glob("features_*.npy")):
        values = np.load(file, mmap_mode="r", allow_pickle=False)
        rows[file.stem.removeprefix("features_")] = len(values)
        finite = finite and bool(np.isfinite(values).all())
    return rows, finite


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        source = given.get("src") or ""
        if tag == "img" and source.startswith("data:image/png"):
            self.pictures.append((source, given.get("alt") or ""))
