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


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_file_that_a_document_links_to_is_there() -> None:
    linked = [
        (document.name, address)
        for document in DOCUMENTS
        for address in re.findall(r"\]\(([^)#\s]+)", document.read_text())
        if not re.match(r"[a-z]+:", address)
    ]

    assert len(linked) >= 10
    assert [each for each in linked if not (ROOT / ("" if each[0] == "README.md" else "docs") / each[1]).exists()] == []


def test_every_target_and_every_file_of_the_house_that_a_document_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text()
        assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets, document.name
        rows = re.findall(
            r"^\| `((?:monitor|fedforge_runtime|fedforge_pipelines|dashboard|tests)/[\w/.-]+)`", text, re.MULTILINE
        )
        assert [path for path in rows if not (ROOT / path).exists()] == [], document.name
