"""An audit on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from fedforge_runtime.commands.tables import print_table
from fedforge_runtime.data.audit.document import AuditDocument
from fedforge_runtime.data.audit.markdown import search_note, state, verdict

_STYLES = {"error": "red", "warning": "yellow", "info": ""}


def print_audit(document: AuditDocument, files: Mapping[str, str]) -> None:
    """The verdict, the findings and the paths of the report, on standard output."""
    console = Console()
    data = document["dataset"]
    official = "official" if data["official"] else f"{data['source']}, unofficial"
    rows = ", ".join(f"{each['split']} {each['rows']:,}" for each in document["splits"])
    console.print(f"{escape(data['title'])} ({official}): {rows}", highlight=False)
    console.print(escape(search_note(document)), highlight=False)
    table = Table(
        Column("severity", no_wrap=True), Column("finding", no_wrap=True), Column("count", justify="right"), ""
    )
    for finding in document["findings"]:
        style = "" if finding["allowed"] else _STYLES[finding["severity"]]
        name = f"[{style}]{state(finding)}[/{style}]" if style else state(finding)
        message = escape(finding["message"])
        if finding["allowed"]:
            message += escape(f" Allowed by {finding['allowed']['by']}: {finding['allowed']['reason']}")
        table.add_row(name, finding["id"], f"{finding['count']:,}", message)
    if document["findings"]:
        print_table(console, table)
    console.print(escape(verdict(document)), highlight=False)
    for path in files.values():
        console.print(escape(path), highlight=False, soft_wrap=True)


def print_split(provenance: Mapping[str, Any], phase: str, folder: str, groups: str) -> None:
    """What part of every class each split got, and how to go on."""
    console = Console()
    splits = provenance["splits"]
    table = Table(
        "class", *(Column(each["split"], justify="right") for each in splits), title="rows, and part of the class"
    )
    table.add_row("asked", *(f"{each['fraction_asked']:.1%}" for each in splits), style="dim", end_section=True)
    for code, first in enumerate(splits[0]["classes"]):
        cells = [each["classes"][code] for each in splits]
        table.add_row(
            first["class"],
            *(f"{cell['rows']:,} ({cell['fraction']:.1%})" if cell["fraction"] is not None else "0" for cell in cells),
        )
    table.add_row("all", *(f"{each['rows']:,} ({each['fraction']:.1%})" for each in splits))
    table.add_row("groups", *(f"{each['groups']:,}" for each in splits))
    print_table(console, table)
    for line in (
        f"farthest from what was asked: {provenance['largest_deviation']:.2%} of a class",
        folder,
        f"next: fedforge audit {phase} --data {folder} --groups {groups}",
    ):
        console.print(escape(line), highlight=False, soft_wrap=True)
