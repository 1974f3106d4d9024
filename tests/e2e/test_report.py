"""Every run leaves a page that tells it in full; `fedforge report` makes it anew, also for one that was cut short."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedforge_runtime.learning.training import classification_metrics
from tests.e2e.command import Outcome, refusal
from tests.e2e.forked import forked
from tests.support.html_page import HtmlPage


@pytest.fixture(scope="module")
def reported(undisturbed: dict[str, Any], home: Path) -> Outcome:
    """`fedforge report` on the small run."""
    outcome = forked("report", "undisturbed", "--home", home, "--json")
    assert outcome.code == 0, outcome.errors
    return outcome


def _page(path: str | Path) -> HtmlPage:
    source = Path(path).read_text()
    page = HtmlPage(source)
    assert page.problems == []
    assert page.tags["script"] == 0
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.search(r"https?://", source)
    return page


def test_the_command_writes_the_page_and_names_it(reported: Outcome, undisturbed: dict[str, Any], home: Path) -> None:
    path = reported.json["report"]
    assert reported.json == {"run_id": "undisturbed", "report": path}
    assert path == str(Path(undisturbed["artifacts"]["run"], "report.html"))
    told = forked("report", "undisturbed", "--home", home)
    assert (told.code, told.output, told.errors) == (0, path + "\n", "")
    assert forked("show", "undisturbed", "--home", home, "--json").json["artifacts"]["report"] == path


def test_the_page_says_what_the_run_says(reported: Outcome, undisturbed: dict[str, Any]) -> None:
    page = _page(reported.json["report"])
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss"):
        assert f"{undisturbed['metrics'][name]:.4f} (" in page.text
    for record in undisturbed["rounds"]:
        assert f"{record['validation_metrics']['accuracy']:.4f}" in page.text
    assert undisturbed["model_sha256"] in page.text
    assert undisturbed["data"]["fingerprint"] in page.text
    assert "PHANTOM DATA" in page.text
    assert re.search(r"Worst client: client \d", page.text)


def test_the_test_metrics_are_those_of_the_kept_predictions_to_the_bit(undisturbed: dict[str, Any]) -> None:
    kept = load_file(undisturbed["artifacts"]["test_predictions"])
    assert kept["logits"].dtype == np.float32
    assert classification_metrics(kept["logits"], kept["labels"]) == undisturbed["metrics"]


def test_a_run_that_was_cut_short_is_labelled(reported: Outcome, undisturbed: dict[str, Any], home: Path) -> None:
    whole, cut = Path(undisturbed["artifacts"]["run"]), home / "runs" / "cut-short"
    cut.mkdir()
    for name in ("config.yaml", "inputs.json"):
        shutil.copy(whole / name, cut / name)
    lines = (whole / "rounds.jsonl").read_text().splitlines(keepends=True)
    (cut / "rounds.jsonl").write_text(lines[0])
    events = (whole / "events.jsonl").read_text().splitlines(keepends=True)
    (cut / "events.jsonl").write_text("".join(line for line in events if json.loads(line)["type"] == "run_started"))
    try:
        page = _page(forked("report", "cut-short", "--home", home, "--json").json["report"])
        shown = forked("show", "cut-short", "--home", home)
    finally:
        shutil.rmtree(cut)
    assert "INTERRUPTED after 1 of 3 rounds" in page.text
    assert "fedforge resume cut-short" in page.text
    assert "validation accuracy" in page.text
    assert "test accuracy" not in page.text
    assert "cut-short: interrupted" in shown.output


def test_the_report_of_an_unknown_run_is_refused(home: Path, undisturbed: dict[str, Any]) -> None:
    assert "there is no run 'undisturbt'" in refusal(forked("report", "undisturbt", "--home", home))
