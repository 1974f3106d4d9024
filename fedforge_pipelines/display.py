"""Results as Dagster shows them: tables, pictures and text in an asset's metadata."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from fedforge_runtime.config import dotted_items

Metadata = dict[str, Any]


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """An SVG inside the text itself, so that no server is needed for it."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows of the same columns; numbers are rounded for people."""
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    columns = [dg.TableColumn(name, _type(value)) for name, value in records[0].data.items()] if records else []
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


def _type(value: Any) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "string")
