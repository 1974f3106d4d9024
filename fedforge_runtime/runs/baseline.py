"""Reference results that later runs are held against: `baselines/<phase>/<data fingerprint>.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedforge_runtime.config import dotted_items
from fedforge_runtime.errors import DataError, RunError
from fedforge_runtime.errors.system import explain
from fedforge_runtime.learning.predictions import read_predictions
from fedforge_runtime.record.documents import read_result
from fedforge_runtime.record.summary import stand_ins_of, summarise_run
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import RunFolder

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
"""Metrics of the test split that may not fall; a loss has no scale that tolerances fit."""
DEFAULT_TOLERANCE = 0.02
VARIABLE = "FEDFORGE_BASELINES"
_UNINTERESTING = ("tolerance", "run_id", "config.runtime.monitor", "config.version")


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was.

    Args:
        subject: for example `test.accuracy`, `client 3.accuracy`, `config.federation.rounds`, `packages.torch`.
    """

    subject: str
    baseline: Any
    run: Any


@dataclass(frozen=True)
class Verdict:
    """A run beside its baseline.

    Args:
        baseline: its file; `None` where nobody has accepted a run on these data yet.
        regressions: metrics that fell by more than the tolerance.
        differences: everything else that is not the same, for whoever looks for the reason.
    """

    baseline: Path | None
    tolerance: float
    regressions: list[Difference]
    differences: list[Difference]

    @property
    def passed(self) -> bool:
        return not self.regressions

    def explain(self) -> str:
        """In one sentence."""
        if self.baseline is None:
            return "There is no baseline for these data. Make this run one with: fedforge baseline accept RUN_ID"
        if self.passed:
            return f"No metric is more than {self.tolerance:g} below the baseline."
        fallen = ", ".join(f"{each.subject} {each.run:.4f} (baseline {each.baseline:.4f})" for each in self.regressions)
        return f"Worse than the baseline by more than {self.tolerance:g}: {fallen}."


def baselines_folder(option: Path | None) -> Path:
    """`option`, else `FEDFORGE_BASELINES`, else `./baselines`."""
    return (option or Path(os.environ.get(VARIABLE) or "baselines")).absolute()


def accept(folder: RunFolder, baselines: Path, *, tolerance: float = DEFAULT_TOLERANCE) -> Path:
    """Make a completed run the baseline for its phase and data; the file, which replaces an earlier one.

    Raises:
        RunError: the run has no result.
        StorageError: the file cannot be written.
    """
    record = record_of(folder) | {"tolerance": tolerance}
    file = _file(baselines, record)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, record)
    except OSError as error:
        raise explain(error, file.parent) from error
    return file


def compare(folder: RunFolder, baselines: Path) -> Verdict:
    """Hold a completed run against the baseline for its phase and data.

    Raises:
        RunError: the run has no result.
        DataError: the baseline cannot be read.
    """
    record = record_of(folder)
    file = _file(baselines, record)
    if not file.exists():
        return Verdict(None, DEFAULT_TOLERANCE, [], [])
    try:
        baseline = read_json(file)
        tolerance = float(baseline["tolerance"])
        regressions = [
            Difference(f"test.{name}", baseline["test"][name], record["test"][name])
            for name in COMPARED
            if name in record["test"].keys() & baseline["test"].keys()  # an AUC is not defined for every split
            and record["test"][name] < baseline["test"][name] - tolerance
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read the baseline {file}: {error!r}.", remedy="Restore it, or accept a run anew."
        ) from error
    before, now = dict(dotted_items(baseline)), dict(dotted_items(record))
    differences = [
        Difference(subject, before.get(subject), now.get(subject))
        for subject in sorted(before.keys() | now.keys())
        if before.get(subject) != now.get(subject) and subject not in _UNINTERESTING
    ]
    return Verdict(file, tolerance, regressions, differences)


def accepted_scores(folder: RunFolder, baselines: Path) -> dict[str, float] | None:
    """Test scores of the baseline that a run is held against; `None` where there is none, or it is damaged."""
    try:
        record = record_of(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return scores_for(record["phase"], record["fingerprint"], baselines)


def scores_for(phase: str, fingerprint: str, baselines: Path) -> dict[str, float] | None:
    """Test scores of the baseline for a phase and data; `None` where there is none, or it is damaged."""
    try:
        return dict(read_json(_file(baselines, {"phase": phase, "fingerprint": fingerprint}))["test"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_of(folder: RunFolder) -> dict[str, Any]:
    """What is kept of a run: scores for each class and client, and everything that they were made from."""
    if not folder.metrics.exists() or not folder.manifest.exists():
        raise RunError(
            f"the run {folder.run_id!r} has no result yet.", remedy=f"Finish it with: fedforge resume {folder.run_id}"
        )
    metrics, manifest = read_result(folder)
    config, inputs, summary = manifest["config"], manifest["inputs"], summarise_run(folder)
    return {
        "phase": config["phase"],
        "stand_ins": stand_ins_of(summary),
        "fingerprint": inputs["data"]["fingerprint"],
        "run_id": folder.run_id,
        "model_sha256": metrics["model_sha256"],
        "test": metrics["test"],
        "classes": _class_scores(folder, inputs["class_names"]),
        "clients": {
            f"client {each['client']}": {"rows": each["rows"], **each["global_metrics"]} for each in summary["clients"]
        },
        "config": config,
        "inputs": {**inputs["keys"], "backbone": inputs["backbone_sha256"]},
        "fedforge": manifest["fedforge"],
        "packages": {"python": manifest["python"], **manifest["packages"]},
    }


def _class_scores(folder: RunFolder, class_names: list[str]) -> dict[str, float]:
    """Recall for each class, of those that have rows in the test split."""
    confusion = read_predictions(folder.test_predictions).confusion_matrix()
    return {
        name: round(float(confusion[number, number] / confusion[number].sum()), 6)
        for number, name in enumerate(class_names)
        if confusion[number].sum()
    }


def _file(baselines: Path, record: Mapping[str, Any]) -> Path:
    return baselines / str(record["phase"]) / f"{record['fingerprint']}.json"
