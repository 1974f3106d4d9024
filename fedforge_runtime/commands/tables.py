"""Tables on a terminal of any width."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDEST = 10_000


def print_table(console: Console, table: Table) -> None:
    """Draw a table; where a terminal is narrower than its words, lines go on in the next, and no cell is lost."""
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).minimum
    width = console.width
    console.width = max(width, needed)
    try:
        console.print(table)
    finally:
        console.width = width
