"""Whoever types what a document says gets what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell_blocks import TREE, blocks_of, run_blocks

BLOCKS = {
    str(document.relative_to(TREE)): list(blocks_of(document.read_text()))
    for document in (TREE / "README.md", *sorted((TREE / "docs").glob("*.md")))
}


@pytest.mark.parametrize(
    "document", [name for name, blocks in BLOCKS.items() if any(block.is_run(slow=False) for block in blocks)]
)
def test_the_commands_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    run_blocks(TREE / document, tmp_path / "scratch")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "document", [name for name, blocks in BLOCKS.items() if any(block.is_slow for block in blocks)]
)
def test_its_costly_commands_do_so_too(document: str, tmp_path: Path) -> None:
    run_blocks(TREE / document, tmp_path / "scratch", slow=True)
