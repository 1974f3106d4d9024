"""A run as frames: those of its home, of its tables and of a monitor's export are the same; the notebook draws them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from pandas.testing import assert_frame_equal
from traitlets.config import Config

from fedforge_runtime.analysis import RunData, lost_sites, read_export, read_run
from fedforge_runtime.storage.home import Home
from tests.e2e.command import TREE
from tests.recording import RECORDED
from tests.support.frames import assert_export_has_the_frames_of_the_home
from tests.support.patience import PATIENCE_SECONDS

NOTEBOOK = TREE / "notebooks" / "convergence.ipynb"
FIGURES = 5


@pytest.fixture(scope="module")
def run(undisturbed: dict[str, Any], home: Path) -> RunData:
    return read_run(Home(home), undisturbed["run_id"])


def test_frames_have_what_the_runs_tables_have(run: RunData, undisturbed: dict[str, Any]) -> None:
    for table, found in (("rounds", run.rounds), ("clients", run.clients)):
        written = pd.read_csv(undisturbed["artifacts"][table])
        assert_frame_equal(written, found, check_exact=True, check_dtype=False)


def test_frames_of_a_home_are_those_of_what_a_monitor_exports(run: RunData, home: Path, client: httpx.Client) -> None:
    log = Home(home).run(run.run_id).events
    answer = client.post("/api/events/import", content=log.read_bytes())
    assert answer.is_success, answer.text

    assert_export_has_the_frames_of_the_home(client, run.run_id, log)


def test_scores_are_those_that_the_run_has_recorded(run: RunData, undisturbed: dict[str, Any]) -> None:
    scores = run.test_scores.set_index("model")
    bounds = undisturbed["bounds"]

    assert scores.loc["federated", "accuracy"] == undisturbed["metrics"]["accuracy"]
    assert scores.loc["all rows in one place", "loss"] == bounds["centralized"]["test"]["loss"]
    assert scores.loc["alone", "accuracy"].tolist() == [site["test"]["accuracy"] for site in bounds["local"]]
    assert run.class_counts.sum(axis=1).tolist() == (run.sites["rows"] + run.sites["validation_rows"]).tolist()
    assert run.label == "PHANTOM DATA"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a run that was paused, stopped and resumed, whose site 1 was lost in round 3."""
    events = [each["event"] for each in json.loads((RECORDED / "operated.json").read_text())["events"]]
    file = tmp_path_factory.mktemp("export") / "operated.ndjson"
    file.write_text("".join(json.dumps(event) + "\n" for event in _without_an_answer(events, "client-1", 3)))
    return file


def _without_an_answer(events: Sequence[dict[str, Any]], node: str, number: int) -> Iterator[dict[str, Any]]:
    """The same events but that a site has given no answer in a round."""
    for event in events:
        if (event["node_id"], event["round"]) != (node, number) or event["type"] == "site_evaluated":
            yield event
        elif event["type"] == "client_update_uploaded" and event["task"] == "train":
            yield event | {
                "type": "node_error",
                "status": "failed",
                "reason": "its process ended",
                "payload_bytes": None,
            }
        elif event["type"] == "model_dispatched" and event["task"] == "train":
            yield event


@pytest.fixture
def jupyter(monkeypatch: pytest.MonkeyPatch, temporary_files: Path) -> pytest.MonkeyPatch:
    """Sets what the notebook reads; what a kernel leaves is with the other temporary files."""
    for name in ("FEDFORGE_HOME", "FEDFORGE_RUN", "FEDFORGE_EXPORT", "FEDFORGE_BASELINES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(temporary_files / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(TREE))
    return monkeypatch


def executed() -> tuple[str, list[str]]:
    """The notebook's words and its figures, as SVG; fails where it has anything else to say."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    encrypted = Config({"KernelManager": {"transport_encryption": "auto"}})
    patience = int(PATIENCE_SECONDS)
    NotebookClient(notebook, timeout=patience, startup_timeout=patience, config=encrypted).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"display_data"}, outputs
    words = [output.data["text/markdown"] for output in outputs if "text/markdown" in output.data]
    return "\n".join(words), [output.data["image/svg+xml"] for output in outputs if "image/svg+xml" in output.data]


def test_the_notebook_answers_of_a_run_and_says_what_it_lacks(
    run: RunData, home: Path, jupyter: pytest.MonkeyPatch
) -> None:
    jupyter.setenv("FEDFORGE_HOME", str(home))
    jupyter.setenv("FEDFORGE_RUN", run.run_id)

    words, figures = executed()

    assert "Made from: **PHANTOM DATA**" in words
    assert f"the accuracy on the validation split is **{run.rounds['validation_accuracy'].iloc[-1]:.3f}**" in words
    federated = run.test_scores.set_index("model").loc["federated"]
    assert f"**{federated['accuracy']:.3f}** (95 % {federated['accuracy_low']:.3f} to" in words
    worst = run.sites.sort_values("global_accuracy").iloc[0]
    assert f"It serves site {worst['client']:.0f} worst: **{worst['global_accuracy']:.3f}**" in words
    assert "rank correlation with accuracy" in words or "too few" in words
    lacking = re.findall(r"\*Not in this run:\* (.*)", words)
    assert [each.split(".")[0].split(":")[0] for each in lacking] == [
        "an accepted baseline for these data",
        "a pause",
        "a lost site",
    ]
    assert_labelled(figures, run.run_id, "PHANTOM DATA")
    for name in ("all rows in one place", "closed form", "each site alone", "Jensen-Shannon distance"):
        assert any(name in figure for figure in figures)


def test_the_notebook_says_what_a_pause_a_stop_and_a_lost_site_did(recorded: Path, jupyter: pytest.MonkeyPatch) -> None:
    run = read_export(recorded)
    assert len(lost_sites(run.log)) == 1
    jupyter.setenv("FEDFORGE_EXPORT", str(recorded))

    words, figures = executed()

    assert re.search(r"\*\*Paused\*\* for \d+\.\d s before round \d, asked for by .+: ", words)
    assert "**Ended and resumed** as attempt 2" in words
    assert re.search(r"\*\*Site 1\*\*, with \d+ % of the rows, \*\*was lost\*\* in round 3, asked to train: its", words)
    assert "It was back in round 4" in words
    assert "Not in this run:* a pause" not in words
    assert_labelled(figures, run.run_id, run.label)


def assert_labelled(figures: Sequence[str], run_id: str, label: str) -> None:
    """Each figure's title names the run and what its numbers were made from."""
    assert "PHANTOM DATA" in label
    assert len(figures) == FIGURES
    for figure in figures:
        assert re.search(rf">{re.escape(run_id)}: [^<]+ – {re.escape(label)}<", figure)
