"""Results as Dagster shows them: tables, pictures and text in an asset's metadata.

What charts need is loaded when one is drawn.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_runtime.config import dotted_items
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.wording import short_name

Metadata = dict[str, Any]
_MOST_PICTURES = 8


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """An SVG inside the text itself, so that no server is needed for it."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows of the same columns; numbers are rounded for people."""
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    columns = [
        dg.TableColumn(name, {bool: "bool", int: "int", float: "float"}.get(type(value), "string"))
        for record in records[:1]
        for name, value in record.data.items()
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def origin(artifact: Mapping[str, Any], manifest: Mapping[str, Any]) -> Metadata:
    """Where an artifact is, what it was made from, and whether this made it or found it."""
    return {
        "key": artifact["key"],
        "unchanged": not artifact["created"],
        "made": "made now" if artifact["created"] else f"unchanged: found as it was made at {manifest['made_at']}",
        "path": dg.MetadataValue.path(artifact["path"]),
        "made_from": keys(dict(dotted_items(manifest["inputs"]))),
    }


def keys(values: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """What something was made from: names, with the key of each."""
    return dg.MetadataValue.md("\n".join(f"- {name}: `{value}`" for name, value in values.items()))


def backbone(name: str, *, trained: bool) -> str:
    """Which backbone it was; an untrained one never goes unmarked."""
    return name + ("" if trained else " (UNTRAINED)")


def data_source(facts: Mapping[str, Any]) -> str:
    """Where images are from; generated ones never go unnamed."""
    if facts["source"] == "phantom":
        return "PHANTOM DATA (generated)"
    return str(facts["source"]) + ("" if facts["official"] else ", unofficial")


def content_hash(manifest: Mapping[str, Any]) -> str:
    """One name for the bytes of an artifact's files: the data version."""
    from hashlib import sha256

    lines = (f"{name} {file['sha256']}\n" for name, file in sorted(manifest["files"].items()))
    return sha256("".join(lines).encode()).hexdigest()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


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


def pictures_of_page(page: str) -> dg.MarkdownMetadataValue:
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
