"""What the documents say is shown by a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_a_document_names_is_there() -> None:
    named = [
        (file.name, *found)
        for file in sorted((ROOT / "docs").glob("*.md"))
        for found in re.findall(r"`([\w/]+\.py)::(\w+)`", file.read_text())
    ]

    assert len(named) >= 10
    for document, path, name in named:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), (document, path, name)
