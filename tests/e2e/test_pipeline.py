"""A phase as Dagster materializes it: what its pages show, what is not done again, and what does not pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from fedforge_pipelines.definitions import defs
from fedforge_runtime.storage.artifacts import read_json, write_json
from tests.e2e.conftest import ROWS
from tests.e2e.forked import forked, forked_process

ASSETS = (
    "raw_dataset", "audit_report", "client_partitions", "preprocessing", "features", "federated_run", "global_model",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def forked_commands() -> Iterator[None]:
    """The steps' commands have loaded everything when they start; `test_up` has them as an operator does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fedforge_pipelines.resources.TiedProcess",
            lambda command, *, environment, **_: forked_process(command[1:], {**os.environ, **environment}),
        )
        yield


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def settings(tiny_backbone: Path) -> dict[str, Any]:
    """As those of `small`, so that the model is that of the undisturbed run."""
    return {
        "data": "phantom",
        "backbone": str(tiny_backbone),
        "clients": 3,
        "rounds": 3,
        "bounds": False,
        "overrides": {
            "dataset.limit": ROWS,
            "learning.learning_rate": 0.02,
            "learning.epochs": 8,
            "runtime.workers": 2,
        },
    }


class Pipeline:
    """Materializes in one home and instance."""

    def __init__(self, instance: dg.DagsterInstance, home: Path, baselines: Path) -> None:
        self.instance = instance
        self._tools = {"config": {"home": str(home), "baselines": str(baselines)}}

    def materialize(self, settings: dict[str, Any], *assets: str, phase: str = "blood") -> dg.ExecuteInProcessResult:
        """A phase, or some of its assets."""
        keys = [dg.AssetKey([phase, name]) for name in assets] or None
        return defs.resolve_job_def(f"{phase}_phase").execute_in_process(
            instance=self.instance,
            run_config={"resources": {"fedforge": self._tools, f"{phase}_settings": {"config": settings}}},
            asset_selection=keys,
            raise_on_error=False,
        )


@pytest.fixture(scope="module")
def pipeline(instance: dg.DagsterInstance, home: Path, baselines: Path) -> Pipeline:
    return Pipeline(instance, home, baselines)


@pytest.fixture(scope="module")
def first(pipeline: Pipeline, settings: dict[str, Any]) -> dg.ExecuteInProcessResult:
    result = pipeline.materialize(settings)
    assert result.success, reason(result)
    return result


def metadata(result: dg.ExecuteInProcessResult, asset: str, phase: str = "blood") -> dict[str, Any]:
    (materialization,) = result.asset_materializations_for_node(f"{phase}__{asset}")
    return {name: value.value for name, value in materialization.metadata.items()}


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why steps failed."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return " ".join(str(each.user_failure_data and each.user_failure_data.description) for each in failures)


def check_of(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(each for each in result.get_asset_check_evaluations() if each.check_name == name)


def test_a_phase_ends_with_the_model_of_a_run_by_hand(
    first: dg.ExecuteInProcessResult, undisturbed: dict[str, Any]
) -> None:
    assert metadata(first, "federated_run")["model_sha256"] == undisturbed["model_sha256"]
    assert metadata(first, "global_model")["model_sha256"] == undisturbed["model_sha256"]


def test_each_page_shows_what_a_person_wants_to_see(first: dg.ExecuteInProcessResult, home: Path) -> None:
    raw, audit, partitions = (metadata(first, name) for name in ASSETS[:3])
    preprocessing, features, run = (metadata(first, name) for name in ASSETS[3:6])

    for page in (raw, audit, partitions, run):
        assert page["data"].startswith("PHANTOM DATA (generated)")
    assert raw["dagster/row_count"] == ROWS
    assert Path(audit["report"].removeprefix("file://")).is_file()
    assert audit["class_balance"].startswith("![rows of each class](data:image/svg+xml;base64,")
    assert "base64" in partitions["labels"]
    assert [row.data["client"] for row in partitions["sites"].records] == [0, 1, 2]
    assert preprocessing["processor"]["image_processor_type"] == "ViTImageProcessor"
    assert features["feature_size"] == 32
    assert "base64" in run["curves"]
    assert "base64" in run["confusion_matrix"]
    assert [row.data["client"] for row in run["clients"].records] == [0, 1, 2]
    assert (home / "runs" / run["run_id"] / "report.html").is_file()
    for page in (raw, audit, partitions, preprocessing, features):
        assert page["key"] in page["path"]
        assert page["made_from"]


def test_what_has_not_changed_is_found_and_says_so(
    pipeline: Pipeline, settings: dict[str, Any], first: dg.ExecuteInProcessResult
) -> None:
    again = pipeline.materialize(settings, *ASSETS[:5])

    assert again.success, reason(again)
    for name in ASSETS[:5]:
        page = metadata(again, name)
        assert page["unchanged"] is True
        assert page["made"].startswith("unchanged: found as it was made at ")
        versions = [
            pipeline.instance.get_latest_materialization_event(dg.AssetKey(["blood", name])),
            first.asset_materializations_for_node(f"blood__{name}")[0],
        ]
        tag = "dagster/data_version"
        assert versions[0] is not None
        materialization = versions[0].asset_materialization
        assert materialization is not None
        assert (materialization.tags or {})[tag] == (versions[1].tags or {})[tag]


def test_what_was_made_with_other_settings_is_not_mixed_in(
    pipeline: Pipeline, settings: dict[str, Any], first: dg.ExecuteInProcessResult
) -> None:
    other = pipeline.materialize({**settings, "partition": "iid"}, "federated_run")

    assert not other.success
    assert "blood/client_partitions was materialized with other settings" in reason(other)
    whole = pipeline.materialize({**settings, "partition": "iid"}, "client_partitions")
    assert whole.success
    assert metadata(whole, "client_partitions")["key"] != metadata(first, "client_partitions")["key"]
    assert pipeline.materialize(settings, "client_partitions").success


def test_nothing_is_spread_over_sites_that_bring_their_own_data(
    home: Path, baselines: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    own = settings | {"overrides": settings["overrides"] | {"federation.site_data": "own"}}
    before_the_run = ("raw_dataset", "audit_report", "client_partitions", "preprocessing", "features")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as apart:  # what it materializes is not for the other tests
        result = Pipeline(apart, home, baselines).materialize(own, *before_the_run)

    assert result.success, reason(result)
    assert metadata(result, "client_partitions")["partition"].startswith("Each site brings its own data")
    assert check_of(result, "covers_every_row_once").passed


def test_the_next_phase_does_not_begin_without_an_accepted_model(
    home: Path, baselines: Path, settings: dict[str, Any]
) -> None:
    with dg.DagsterInstance.ephemeral() as empty:
        result = Pipeline(empty, home, baselines).materialize(settings, phase="derma")

    assert not result.success
    assert "blood/global_model was never materialized" in reason(result)
    assert not result.asset_materializations_for_node("derma__features")  # asked before what takes long


def test_a_worse_model_is_not_promoted_and_the_page_says_why(
    pipeline: Pipeline, settings: dict[str, Any], first: dg.ExecuteInProcessResult, home: Path, baselines: Path
) -> None:
    run_id = metadata(first, "federated_run")["run_id"]
    accepted = forked("baseline", "accept", run_id, "--home", home, "--baselines", baselines, "--json")
    file = Path(accepted.json["baseline"])
    try:
        better = read_json(file)
        better["test"]["accuracy"] += 0.5
        better["config"]["federation"]["rounds"] = 30
        write_json(file, better)
        result = pipeline.materialize(settings, "federated_run", "global_model")
        alone = pipeline.materialize(settings, "global_model")
    finally:
        file.unlink()

    check = check_of(result, "no_metric_regression")
    assert not result.success
    assert not check.passed
    assert "test.accuracy" in str(check.description)
    subjects = {row.data["subject"] for row in check.metadata["differences"].value.records}
    assert "config.federation.rounds" in subjects
    assert not result.asset_materializations_for_node("blood__global_model")
    assert not alone.success
    assert "Not promoted. Worse than the baseline" in reason(alone)


@pytest.fixture
def elsewhere(tmp_path: Path, baselines: Path) -> Iterator[Pipeline]:
    """A home and an instance where nothing was materialized yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(instance, tmp_path / "home", baselines)


def test_a_planted_leak_blocks_before_any_training_until_somebody_decides(
    elsewhere: Pipeline, tmp_path: Path, settings: dict[str, Any]
) -> None:
    data = plant_leak(tmp_path / "data")
    leaking = {**settings, "data": str(data)}

    blocked = elsewhere.materialize(leaking, *ASSETS[:5])
    check = check_of(blocked, "no_split_leakage")
    assert not check.passed
    assert "exact-duplicates-across-splits" in str(check.description)
    assert "allow_findings" in str(check.description)
    for name in ("client_partitions", "features"):
        assert not blocked.asset_materializations_for_node(f"blood__{name}")
    assert "data:image/png" in metadata(blocked, "audit_report")["offending_pairs"]

    decided = {
        **leaking,
        "allow_findings": str(check.metadata["blocking"].value).split(", "),
        "allowed_because": "planted by a test",
        "allowed_by": "a test",
    }
    allowed = elsewhere.materialize(decided, *ASSETS[:5])
    assert allowed.success, reason(allowed)
    assert check_of(allowed, "no_split_leakage").passed
    assert [metadata(allowed, name)["unchanged"] for name in ("client_partitions", "features")] == [False, False]
    once_more = elsewhere.materialize(leaking, "raw_dataset", "audit_report")
    assert check_of(once_more, "no_split_leakage").passed  # it holds for these very data
    assert metadata(once_more, "audit_report")["unchanged"]  # also now that there are features


def plant_leak(folder: Path) -> Path:
    """Random images in MedMNIST's format, one of the training split in the test split too."""
    chance = np.random.default_rng(3)
    arrays: dict[str, Any] = {}
    for split, rows in (("train", 160), ("val", 40), ("test", 40)):
        arrays[f"{split}_images"] = chance.integers(0, 256, (rows, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(rows) % 8).astype(np.uint8).reshape(-1, 1)
    arrays["test_images"][0] = arrays["train_images"][0]
    folder.mkdir(parents=True)
    np.savez(folder / "bloodmnist.npz", **arrays)
    return folder


def test_wrong_settings_are_refused_with_the_words_of_the_command(pipeline: Pipeline, settings: dict[str, Any]) -> None:
    wrong = pipeline.materialize({**settings, "overrides": {"federation.round": 3}}, "raw_dataset")

    assert not wrong.success
    assert "federation.round" in reason(wrong)


def test_the_command_lines_of_baselines(
    first: dg.ExecuteInProcessResult, home: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    run_id = metadata(first, "federated_run")["run_id"]
    none = forked("baseline", "compare", run_id, "--home", home, "--baselines", tmp_path, "--json").json
    accepted = forked("baseline", "accept", "undisturbed", "--home", home, "--baselines", tmp_path, "--json").json
    same = forked("baseline", "compare", run_id, "--home", home, "--baselines", tmp_path, "--json").json
    document = json.loads(Path(accepted["baseline"]).read_text())
    document["test"]["macro_f1"] = 0.999
    Path(accepted["baseline"]).write_text(json.dumps(document))
    worse = forked("baseline", "compare", run_id, "--home", home, "--baselines", tmp_path)
    Path(accepted["baseline"]).write_text("{ damaged")
    damaged = forked("baseline", "compare", run_id, "--home", home, "--baselines", tmp_path)
    unknown = forked("baseline", "accept", "nobody", "--home", home, "--baselines", tmp_path)

    assert none["passed"]
    assert "no baseline" in none["explanation"]
    assert document["model_sha256"] == undisturbed["model_sha256"]
    assert same["passed"]
    assert {each["subject"] for each in same["differences"]} <= {
        "config.federation.connect_timeout_seconds",
        "config.learning.learning_rate",
    }
    assert worse.code == 1
    assert "test.macro_f1" in worse.errors
    assert damaged.code == 1
    assert "cannot read the baseline" in damaged.errors
    assert unknown.code == 1


def test_the_accepted_block_of_a_phase_is_carried_on(
    pipeline: Pipeline, first: dg.ExecuteInProcessResult, settings: dict[str, Any]
) -> None:
    block = {
        **settings,
        "mode": "last_block",
        "rounds": 1,
        "overrides": {**settings["overrides"], "learning.epochs": 1},
    }
    blood = pipeline.materialize(block, *ASSETS[4:])  # the others are those of `first`
    derma = pipeline.materialize(block, phase="derma")

    assert blood.success, reason(blood)
    assert derma.success, reason(derma)
    run_id = metadata(blood, "federated_run")["run_id"]
    assert metadata(blood, "global_model")["carried_on"] == "its last block"
    assert metadata(derma, "federated_run", "derma")["started_from"] == f"the last block of {run_id}"
