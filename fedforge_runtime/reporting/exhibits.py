"""What a page shows as values: tables and figures, made by pure functions and drawn by a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Text in rows and columns."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    """The columns of numbers."""
    marked: Sequence[int] = ()
    """The rows that stand out."""
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart and the sentence that says what it shows."""

    chart: Markup
    caption: str


@dataclass(frozen=True)
class Highlight:
    """A number that matters."""

    label: str
    value: str
    detail: str = ""
