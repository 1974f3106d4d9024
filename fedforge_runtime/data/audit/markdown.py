"""An audit in Markdown, for a pull request or a log."""

from __future__ import annotations

from collections.abc import Sequence

from fedforge_runtime.data.audit.document import AuditDocument, FindingDocument, RowPair
from fedforge_runtime.wording import counted

_PAIRS_SHOWN = 10


def audit_markdown(document: AuditDocument) -> str:
    """The text of `report.md`, made from `report.json`."""
    data = document["dataset"]
    lines = [f"# Audit of {data['title']}", ""]
    if data["source"] == "phantom":
        lines += ["**PHANTOM DATA**: these images are generated.", ""]
    lines += [
        f"{data['flag']}, {data['size']} px, {'official' if data['official'] else data['source'] + ', unofficial'}, "
        f"licence {data['licence']}, fingerprint `{data['fingerprint']}`.",
        "",
        f"**{verdict(document)}**",
        "",
        f"{search_note(document)}",
        "",
        "## Findings",
        "",
        *_table(
            ["severity", "finding", "count", "what it means"],
            [[state(each), f"`{each['id']}`", f"{each['count']:,}", each["message"]] for each in document["findings"]],
        ),
    ]
    for finding in document["findings"]:
        if finding["pairs"]:
            lines += ["", f"### {finding['id']}", ""]
            lines += [f"- {pair_text(pair, data['class_names'])}" for pair in finding["pairs"][:_PAIRS_SHOWN]]
            if len(finding["pairs"]) > _PAIRS_SHOWN:
                lines += ["- … more in `pairs.csv`"]
    lines += [*_splits(document), *_exceptions(document)]
    return "\n".join(lines) + "\n"


def _splits(document: AuditDocument) -> list[str]:
    sizes = _table(
        ["split", "rows", "published", "largest class to smallest", "mean R G B", "shift from training R G B"],
        [
            [
                each["split"],
                f"{each['rows']:,}",
                f"{each['published_rows']:,}",
                f"{each['imbalance_ratio']:.1f}",
                " ".join(f"{value:.1f}" for value in each["channel_mean"]),
                " ".join(f"{value:+.2f}" for value in each["channel_shift"]),
            ]
            for each in document["splits"]
        ],
    )
    classes = _table(
        ["class", *(each["split"] for each in document["splits"])],
        [
            [name, *(f"{each['class_rows'][code]:,}" for each in document["splits"])]
            for code, name in enumerate(document["dataset"]["class_names"])
        ],
    )
    return ["", "## Splits", "", *sizes, "", "### Classes", "", *classes]


def _exceptions(document: AuditDocument) -> list[str]:
    rows = [
        [each["finding"], f"{each['count']:,}", each["reason"], each["by"], each["at"]]
        for each in document["exceptions"]
    ]
    return ["", "## Exceptions", "", *_table(["finding", "for at most", "reason", "by", "when"], rows)] if rows else []


def verdict(document: AuditDocument) -> str:
    """One sentence: may these data be used?"""
    if blocking := document["blocking"]:
        return f"{counted(len(blocking), 'finding')} block: {', '.join(blocking)}."
    allowed = [each["id"] for each in document["findings"] if each["allowed"] and each["severity"] == "error"]
    return f"Nothing blocks; allowed by a person: {', '.join(allowed)}." if allowed else "Nothing blocks."


def state(finding: FindingDocument) -> str:
    """The severity, and whether a person allowed it."""
    return f"{finding['severity']}, allowed" if finding["allowed"] else finding["severity"]


def search_note(document: AuditDocument) -> str:
    """What near duplicates were searched by."""
    features = document["features"]
    if features is None:
        return (
            "Near duplicates were searched by perceptual hash only: no features of these images are there. Turned, "
            "mirrored and scaled copies need them; `fedforge prepare` computes them."
        )
    untrained = "" if features["trained"] else " (UNTRAINED: they say little)"
    note = (
        f"Near duplicates were searched by perceptual hash and by the features of {features['backbone']}{untrained}; "
        f"the features proposed {features['candidates']:,} pairs"
    )
    if features["candidates"] > features["candidates_aligned"]:
        note += f", of which the {features['candidates_aligned']:,} most similar ones were compared by their pixels"
    return note + "."


def pair_text(pair: RowPair, class_names: Sequence[str]) -> str:
    """A pair in words: where its rows are, their classes, and how alike they are."""
    first, second = pair["first"], pair["second"]
    labels = class_names[first["label"]]
    if first["label"] != second["label"]:
        labels += f" and {class_names[second['label']]}"
    return f"{first['split']} {first['index']} and {second['split']} {second['index']}: {labels}; {likeness(pair)}"


def likeness(pair: RowPair) -> str:
    """How alike the images of a pair are, and who found it."""
    if pair["method"] == "pixels":
        return "same pixels"
    if pair["method"] == "group":
        return "same group"
    numbers = f"correlation {pair['correlation']:.3f}, detail {pair['detail']:.2f}"
    found = f"{pair['hash_distance']} bits" if pair["method"] == "hash" else f"features {pair['cosine']:.2f}"
    return f"{found}, {numbers}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    return [line(headings), "|" + " --- |" * len(headings), *map(line, rows)]
