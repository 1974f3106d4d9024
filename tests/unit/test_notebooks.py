"""The notebook and its script are the same, and git has no output of it."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "convergence.ipynb"
PAGE = ROOT / "docs" / "convergence.html"


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_notebook_and_script_have_the_same_cells(notebook: nbformat.NotebookNode) -> None:
    """Where not: edit the script, then `jupytext --update --to ipynb notebooks/convergence.py`."""
    script = jupytext.read(NOTEBOOK.with_suffix(".py"))

    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]
    assert notebook.metadata.jupytext.formats == "ipynb,py:percent"


def test_outputs_are_stripped(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert len(code) >= 6
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert all(not cell.metadata for cell in notebook.cells)


def test_the_rendered_page_is_of_real_images_loads_nothing_and_names_no_folder() -> None:
    page = PAGE.read_text()

    assert len(page) < 1_500_000
    assert "<script" not in page
    assert re.search(r"""(src|href)\s*=\s*["']?(?!["']?(data:|#))\w""", page) is None
    assert len(re.findall(r'<img alt="[^"]+BloodMNIST – local, unofficial"', page)) == 5
    assert "PHANTOM" not in page
    assert re.search(r"(?<![\w.])/(root|home|work|tmp|Users)/", page) is None
