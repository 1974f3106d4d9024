"""A run that is completed stays so, whatever becomes of that which is made beside its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.record.state import run_state
from fedforge_runtime.runs.baseline import accept, compare
from fedforge_runtime.runs.finish import Evidence, record_evidence
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home, RunFolder
from tests.support.listener import Listener
from tests.support.run_folders import MakeRun


@pytest.fixture
def listener() -> Listener:
    return Listener()


def record(folder: RunFolder, listener: Listener) -> None:
    record_evidence(folder, Evidence(), home=Home(folder.path.parents[1]), narrator=listener)


def test_bounds_that_cannot_be_made_are_named_with_the_reason_and_the_report_is_made(
    make_run: MakeRun, listener: Listener
) -> None:
    folder = make_run()  # of artifacts that are not on this machine

    record(folder, listener)

    (told,) = listener.told
    assert told.startswith("The run is completed, without its bounds (fedforge bounds a-run tries it once more): ")
    assert "is not on this machine any more" in told
    assert folder.report.exists()
    assert run_state(folder).state == "completed"


def test_a_report_that_cannot_be_made_is_named_with_the_reason(make_run: MakeRun, listener: Listener) -> None:
    folder = make_run()
    folder.test_predictions.write_bytes(b"no tensors at all")

    record(folder, listener)

    assert [text.partition(" (")[0] for text in listener.told] == [
        "The run is completed, without its bounds",
        "The run is completed, without its report",
    ]
    assert str(folder.test_predictions) in listener.told[1]
    assert not folder.report.exists()


def test_not_even_a_defect_takes_a_run_back(
    make_run: MakeRun, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("fedforge_runtime.runs.finish.record_bounds", fail)
    folder = make_run()

    record(folder, listener)

    (told,) = listener.told
    assert told.endswith("ZeroDivisionError: division by zero. This is a defect of FedForge; --debug shows where.")
    assert folder.report.exists()


def test_a_stop_is_still_a_stop(make_run: MakeRun, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise RunStoppedError("stopped.")

    monkeypatch.setattr("fedforge_runtime.runs.finish.record_bounds", stop)
    with pytest.raises(RunStoppedError):
        record(make_run(), listener)


@pytest.mark.parametrize("without", ["run", "baseline"])
def test_a_score_that_is_not_defined_is_no_reason_not_to_compare(make_run: MakeRun, without: str) -> None:
    """A test split in which no class has rows and others has no AUC."""
    folder = make_run()
    baselines = folder.path.parent / "baselines"

    def lose_auc() -> None:
        metrics: dict[str, Any] = read_json(folder.metrics)
        del metrics["test"]["auc"]
        write_json(folder.metrics, metrics)

    if without == "baseline":
        complete = read_json(folder.metrics)
        lose_auc()
        accept(folder, baselines)
        write_json(folder.metrics, complete)
    else:
        accept(folder, baselines)
        lose_auc()

    verdict = compare(folder, baselines)

    assert verdict.passed
    assert [each.subject for each in verdict.differences] == ["test.auc"]
