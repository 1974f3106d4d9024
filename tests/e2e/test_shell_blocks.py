"""Whoever types what a document says gets what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell_blocks import TREE, blocks_of, run_blocks

DOCUMENTS = [
    str(document.relative_to(TREE))
    for document in (TREE / "README.md", *sorted((TREE / "docs").glob("*.md")))
    if any(block.is_run(slow=True) for block in blocks_of(document.read_text()))
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    run_blocks(TREE / document, tmp_path / "scratch")


@pytest.mark.thorough
@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_costly_commands_do_so_too(document: str, tmp_path: Path) -> None:
    if not any(
        block.is_run(slow=True) > block.is_run(slow=False) for block in blocks_of((TREE / document).read_text())
    ):
        pytest.skip("none of them is costly")
    run_blocks(TREE / document, tmp_path / "scratch", slow=True)
