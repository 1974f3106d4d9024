"""What the documents say is shown by a test."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedforge_runtime import __version__
from monitor import guard
from monitor.rights import emitter_may
from tests.support.shell_blocks import BlockFailedError, blocks_of, run_blocks, script_of

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_a_document_names_is_there() -> None:
    named = [
        (file.name, *found)
        for file in sorted((ROOT / "docs").glob("*.md"))
        for found in re.findall(r"`([\w/]+\.py)::(\w+)`", file.read_text())
    ]

    assert len(named) >= 10
    for document, path, name in named:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), (document, path, name)


DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "flower_app" / "README.md"]


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def links_of(document: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each relative link of a document, outside its code."""
    text = without_code(document.read_text())
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    named = re.findall(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", text, re.MULTILINE)
    for address in [*inline, *named, *re.findall(r"(?:href|src)=\"([^\"]+)\"", text)]:
        if not re.match(r"[a-z]+:", address):
            path, _, anchor = address.partition("#")
            yield path, anchor


def without_code(text: str) -> str:
    kept = text.splitlines()
    for block in blocks_of(text):
        kept[block.line - 2 : block.line + len(block.lines)] = [""] * (len(block.lines) + 2)
    return re.sub(r"`[^`\n]+`", "", "\n".join(kept))


def anchors_of(document: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, no marks, hyphens for spaces, `-1` for the second of a name."""
    lines = document.read_text().splitlines()
    for block in blocks_of("\n".join(lines)):
        lines[block.line - 1 : block.line - 1 + len(block.lines)] = [""] * len(block.lines)
    found: list[str] = []
    for line in lines:
        heading = re.match(r"#{1,6} +(.+?) *#*$", line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            found.append(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    made = {
        name if not (before := found[:place].count(name)) else f"{name}-{before}" for place, name in enumerate(found)
    }
    return made | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", document.read_text()))


def test_the_documents_are_those_of_the_house() -> None:
    assert {"CHANGELOG.md", "README.md", "SECURITY.md", "docs/runbook.md", "docs/security.md"} <= set(
        map(name_of, DOCUMENTS)
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_and_every_heading_that_a_document_links_to_is_there(document: Path) -> None:
    for path, anchor in links_of(document):
        target = document.parent / path if path else document
        assert target.exists(), f"{name_of(document)} links to {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{name_of(document)} links to {path}#{anchor}"


def test_links_and_anchors_are_found_as_pages_have_them(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# A `--flag`, two\n```sh\n# no heading [no](link.md)\n```\n## [Same](b.md#x)\n## Same\n`[no](code.md)` [r]\n"
        "[r]: c.md#y\n![picture](d.png) [out](https://example.org/#z)\n"
    )

    assert anchors_of(document) == {"a---flag-two", "same", "same-1"}
    assert set(links_of(document)) == {("b.md", "x"), ("c.md", "y"), ("d.png", "")}


def test_a_command_keeps_its_line_and_what_is_not_marked_is_not_run() -> None:
    text = "# A\n```sh run\ntrue 3\n```\n```sh\nfalse\n```\n```sh run slow\ntrue 9\n```\n"

    quick, slow = script_of(text, slow=False).splitlines(), script_of(text, slow=True).splitlines()
    assert (quick[1:], slow[1:]) == (["", "true 3"], ["", "true 3", "", "", "", "", "", "true 9"])


def test_a_mark_is_one_of_two() -> None:
    marks = {block.info for document in DOCUMENTS for block in blocks_of(document.read_text()) if "run" in block.info}

    assert marks <= {"sh run", "sh run slow"}


def test_a_command_that_fails_is_told_with_document_line_and_output(tmp_path: Path) -> None:
    document = tmp_path / "guide.md"
    document.write_text("# Guide\n\n```sh run\nwords=kept\necho before\n```\n\n```sh run\ntest $words = lost\n```\n")

    with pytest.raises(BlockFailedError) as failed:
        run_blocks(document, tmp_path / "scratch")

    assert str(failed.value).startswith(f"{document}:9: a block ends with 1\n$ test $words = lost\nbefore\n")


def test_every_target_and_every_file_of_the_house_that_a_document_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text()
        assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets, document.name
        rows = re.findall(
            r"^\| `((?:monitor|fedforge_runtime|fedforge_pipelines|dashboard|tests)/[\w/.-]+)`", text, re.MULTILINE
        )
        assert [path for path in rows if not (ROOT / path).exists()] == [], document.name


def rows_of_rights() -> list[tuple[list[tuple[str, str]], dict[str, bool]]]:
    """The table of docs/security.md: requests, and whether each kind of caller may send them."""
    rows = re.findall(r"^\| (`[^|]+`) \| (yes|no) \| (yes|no) \| (yes|no) \|$", SECURITY, re.MULTILINE)
    return [
        (
            re.findall(r"`([A-Z]+) ([^`]+)`", requests),
            {who: said == "yes" for who, said in zip(("operator", "emitter", "nobody"), answers, strict=True)},
        )
        for requests, *answers in rows
    ]


def test_the_rights_that_the_page_on_security_states_are_those_of_the_monitor() -> None:
    rows = rows_of_rights()
    described = {
        (method.upper(), path)
        for path, methods in json.loads((ROOT / "dashboard" / "openapi.json").read_text())["paths"].items()
        for method in methods
    }

    stated = [request for requests, _ in rows for request in requests]
    assert len(stated) == len(set(stated))
    assert set(stated) == described | {("GET", "/api/stream"), ("GET", "/api/docs")}
    for requests, allowed in rows:
        for method, path in requests:
            filled = re.sub(r"\{\w+\}", "x", path)
            stream = path == "/api/stream"
            is_open = path in guard._OPEN or (path, method) == guard._GREETING
            assert allowed["operator"]
            assert allowed["nobody"] == is_open, (method, path)
            assert allowed["emitter"] == (is_open or (emitter_may(method, filled) and not stream)), (method, path)


def test_every_file_that_must_repeat_the_version_has_that_of_the_package() -> None:
    def of_json(path: str, *keys: str) -> str:
        found = json.loads((ROOT / path).read_text())
        for key in keys:
            found = found[key]
        return str(found)

    compose = re.findall(r"fedforge(?:-dashboard)?:(\d[\w.]*)\}", (ROOT / "docker-compose.yml").read_text())
    repeated = {
        "dashboard/package.json": of_json("dashboard/package.json", "version"),
        "dashboard/package-lock.json": of_json("dashboard/package-lock.json", "packages", "", "version"),
        "dashboard/openapi.json": of_json("dashboard/openapi.json", "info", "version"),
        "flower_app/pyproject.toml": tomllib.loads((ROOT / "flower_app/pyproject.toml").read_text())["project"][
            "version"
        ],
        **{f"image {number} of docker-compose.yml": version for number, version in enumerate(compose)},
    }

    assert len(compose) == 2
    assert {name: version for name, version in repeated.items() if version != __version__} == {}
