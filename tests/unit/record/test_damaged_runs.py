"""A file of a run that is damaged costs what it says, is named once, and the rest of the run is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fedforge_runtime.commands.app import app
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.record.state import run_state
from fedforge_runtime.record.summary import summarise_run
from fedforge_runtime.storage.artifacts import write_json
from fedforge_runtime.storage.home import RunFolder
from tests.support.run_folders import MakeRun, bounds

Spoil = Callable[[bytes], bytes]

SPOILT: dict[str, Spoil] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: b"\0" * len(content),
    "not-utf-8": lambda content: b"\xff\xfe" + content,
    "null": lambda content: b"null",
    "list": lambda content: b"[]",
    "other-object": lambda content: b'{"rounds": {"a": "b"}, "files": 3}',
    "too-deep": lambda content: b"[" * 100_000,
    "numbers-for-all": lambda content: json.dumps(dict.fromkeys(json.loads(content), 7)).encode(),
}
DOCUMENTS = ("inputs", "metrics", "bounds", "seconds", "manifest")


@pytest.fixture
def run(make_run: MakeRun) -> RunFolder:
    folder = make_run()
    write_json(folder.bounds, bounds(3))
    write_json(folder.seconds, {"total": 3.5})
    return folder


def ask(folder: RunFolder, *words: str) -> Result:
    """A command about the run, as the command line carries it out."""
    return CliRunner().invoke(app, [*words, "--home", str(folder.path.parents[1])])


def asked(folder: RunFolder, *words: str) -> str:
    """What it printed; fails unless it went well."""
    result = ask(folder, *words)
    assert result.exit_code == 0, repr(result.exception)
    return result.output


def spoil_line(file: Path, word: bytes, spoil: Spoil) -> int:
    """Spoil the last line with `word` in it; its number."""
    lines = file.read_bytes().splitlines()
    number = max(place for place, line in enumerate(lines) if word in line)
    lines[number] = spoil(lines[number])
    file.write_bytes(b"\n".join(lines) + b"\n")
    return number + 1


@pytest.mark.parametrize(
    ("document", "kind"),
    sorted({(document, kind) for document in DOCUMENTS for kind in SPOILT} - {("seconds", "numbers-for-all")}),
)
def test_a_damaged_document_is_named_and_the_rest_is_shown(document: str, kind: str, run: RunFolder) -> None:
    file: Path = getattr(run, document)
    file.write_bytes(SPOILT[kind](file.read_bytes()))

    shown = asked(run, "show", "a-run")
    listed = asked(run, "runs")

    assert shown.count(f"{file} is damaged") == 1
    assert listed.count(f"{file} is damaged") == 1
    assert "2 of 2 rounds" in shown


@pytest.mark.parametrize(
    ("document", "lacking"),
    [
        ("bounds", lambda content: content["centralized"].pop("test")),
        ("bounds", lambda content: content["local"][0].pop("rows")),
        ("bounds", lambda content: content["local"][0].pop("validation")),
        ("metrics", lambda content: content.pop("test")),
        ("manifest", lambda content: content.update(completed_at="yesterday")),
    ],
)
def test_a_document_that_lacks_a_part_is_damaged(
    document: str, lacking: Callable[[dict[str, Any]], object], run: RunFolder
) -> None:
    file: Path = getattr(run, document)
    content = json.loads(file.read_bytes())
    lacking(content)
    write_json(file, content)

    assert asked(run, "show", "a-run").count(f"{file} is damaged") == 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_report_names_a_damaged_document(document: str, run: RunFolder) -> None:
    file: Path = getattr(run, document)
    file.write_bytes(b'{"half":')

    asked(run, "report", "a-run")

    assert f"{file.name} is damaged" in run.report.read_text()


@pytest.mark.parametrize("kind", ["half", "zeros", "not-utf-8", "null", "list", "other-object", "numbers-for-all"])
@pytest.mark.parametrize("word", [b"run_completed", b"run_started", b"node_error"])
def test_a_damaged_line_of_the_log_costs_that_line(word: bytes, kind: str, run: RunFolder) -> None:
    number = spoil_line(run.events, word, SPOILT[kind])

    summary = summarise_run(run)

    assert summary["state"] == ("interrupted" if word == b"run_completed" else "completed")
    assert summary["damaged"] == [f"{run.events}: line {number} is damaged, and left out."]


def test_several_damaged_lines_are_named_in_one_sentence(run: RunFolder) -> None:
    first = spoil_line(run.events, b"run_started", SPOILT["zeros"])
    second = spoil_line(run.events, b"run_completed", SPOILT["half"])

    (sentence,) = summarise_run(run)["damaged"]

    assert f"lines {first}, {second} are damaged" in sentence
    assert run_state(run).attempt == 1


def test_a_damaged_round_is_left_out_of_the_records(run: RunFolder) -> None:
    spoil_line(run.rounds, b'"round":1', SPOILT["half"])

    summary = summarise_run(run)

    assert [each["round"] for each in summary["rounds"]] == [2]
    assert summary["rounds_completed"] == 2
    assert summary["damaged"] == [f"{run.rounds}: line 1 is damaged, and left out."]


@pytest.mark.parametrize("kind", ["empty", "zeros", "not-utf-8", "null", "list", "other-object"])
def test_a_run_with_a_damaged_configuration_is_left_out_of_the_list(kind: str, run: RunFolder) -> None:
    run.config.write_bytes(SPOILT[kind](run.config.read_bytes()))

    listed = asked(run, "runs")
    result = ask(run, "show", "a-run")

    assert "The run a-run is left out" in listed
    assert isinstance(result.exception, FedForgeError)
    assert str(run.config) in str(result.exception)


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("document", ["metrics", "manifest"])
def test_a_baseline_of_damaged_numbers_is_refused_in_one_line(document: str, kind: str, run: RunFolder) -> None:
    file: Path = getattr(run, document)
    file.write_bytes(SPOILT[kind](file.read_bytes()))

    result = ask(run, "baseline", "accept", "a-run", "--baselines", str(run.path / "baselines"))

    assert isinstance(result.exception, FedForgeError)
    assert f"{file} is damaged" in str(result.exception)
    assert not (run.path / "baselines").exists()
