"""A table loses no cell on a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Column, Table

from fedforge_runtime.commands.tables import print_table


@pytest.mark.parametrize("width", [1, 10, 20, 40, 80, 200])
def test_every_word_of_a_table_is_there_whole_at_any_width(width: int) -> None:
    table = Table(Column("run", no_wrap=True), "state", Column("accuracy", justify="right"), title="runs of this home")
    table.add_row("blood-20261128-000000", "completed", "0.9123")
    table.add_row("derma-20261128-000001", "failed, too few clients", "")
    console = Console(file=io.StringIO(), width=width, force_terminal=False)

    print_table(console, table)

    assert isinstance(console.file, io.StringIO)
    words = set(console.file.getvalue().split())
    assert {"run", "state", "accuracy", "blood-20261128-000000", "completed", "0.9123", "clients"} <= words
    assert console.width == width
