"""What a run leaves behind agrees with itself: events, tables, metrics and manifest."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedforge_runtime.config import load_run_config, read_run_config
from fedforge_runtime.learning.parameters import model_sha256
from fedforge_runtime.learning.predictions import read_predictions
from fedforge_runtime.runs.attempts import assignments_of
from fedforge_runtime.storage.artifacts import MANIFEST, read_json, sha256_file
from monitor.schema import (
    Event,
    RoundStarted,
    RunBounded,
    RunCompleted,
    RunDescribed,
    RunEvaluated,
    RunRequested,
    SiteDescribed,
    SiteEvaluated,
    StageProgress,
    event_adapter,
)

CLIENTS = [0, 1, 2]
ROUNDS = [1, 2, 3]


@pytest.fixture(scope="module")
def folder(undisturbed: dict[str, Any]) -> Path:
    return Path(undisturbed["artifacts"]["run"])


@pytest.fixture(scope="module")
def events(folder: Path) -> list[Event]:
    """Every line of the log; each must be a valid event."""
    return [event_adapter.validate_json(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def _steps(events: list[Event], **about: object) -> list[str]:
    """What happened, in order, to what `about` says; an exchange's kind is added to its steps."""
    chosen = [each for each in events if all(getattr(each, key) == value for key, value in about.items())]
    tasks = [getattr(each, "task", None) for each in chosen]
    return [
        f"{each.type}:{task}" if task else each.type
        for each, task in zip(chosen, tasks, strict=True)
        if each.type not in ("node_heartbeat", "stage_progress")
    ]


def test_events_are_numbered_without_a_gap_by_each_process(events: list[Event]) -> None:
    numbers = defaultdict(list)
    for event in events:
        numbers[event.emitter_id].append(event.emitter_seq)
    assert all(sequence == list(range(1, len(sequence) + 1)) for sequence in numbers.values())
    assert len({event.event_id for event in events}) == len(events)
    assert {event.run_id for event in events} == {"undisturbed"}
    assert {event.attempt for event in events} == {1}


def test_the_server_does_one_thing_after_the_other(events: list[Event]) -> None:
    each_round = [
        "round_started",
        "aggregation_started",
        "aggregation_completed",
        "checkpoint_saved",
        "round_completed",
    ]
    assert _steps(events, node_id="server") == [
        "run_requested",
        "run_described",
        "run_started",
        "checkpoint_saved",
        *(each_round * len(ROUNDS)),
        "run_evaluated",
        "run_completed",
        "run_bounded",
    ]
    started = [event.participants for event in events if isinstance(event, RoundStarted)]
    assert started == [CLIENTS] * len(ROUNDS)


@pytest.mark.parametrize("round_number", ROUNDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_trains_and_evaluates_once_a_round(events: list[Event], client: int, round_number: int) -> None:
    assert _steps(events, node_id=f"client-{client}", round=round_number) == [
        "model_dispatched:train",
        "client_train_started",
        "client_train_completed",
        "client_update_uploaded:train",
        "model_dispatched:evaluate",
        "client_evaluated",
        "client_update_uploaded:evaluate",
        *(["site_evaluated", "site_bounded"] if round_number == ROUNDS[-1] else []),
    ]


def test_each_stage_begins_and_ends_in_its_order(events: list[Event]) -> None:
    told = [(event.stage, event.status) for event in events if isinstance(event, StageProgress)]
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["dataset", "partition", "backbone", "features", "bounds", "report"]
    for stage in stages:
        statuses = [status for name, status in told if name == stage]
        assert statuses[0] == "running"
        assert statuses[1:].count("completed") == 1
        assert statuses[-1] == "completed"


def test_the_request_asks_for_the_same_configuration(events: list[Event], folder: Path) -> None:
    (asked,) = [event.request for event in events if isinstance(event, RunRequested)]
    made = load_run_config(asked.phase, profile=asked.profile, assignments=assignments_of(asked.overrides))
    config = read_run_config(folder.joinpath("config.yaml"))

    assert made.model_dump(exclude={"runtime"}) == config.model_dump(exclude={"runtime"})


def test_the_description_is_that_of_the_manifest(events: list[Event], folder: Path) -> None:
    (described,) = [event for event in events if isinstance(event, RunDescribed)]
    manifest, metrics = read_json(folder / "manifest.json"), read_json(folder / "metrics.json")

    assert described.configuration == manifest["config"]
    assert described.artifacts == manifest["inputs"]["keys"]
    assert described.code.packages == manifest["packages"]
    assert (described.code.version, described.code.commit) == tuple(manifest["fedforge"].values())
    assert (described.data.source, described.data.phantom) == ("phantom", True)
    assert described.data.fingerprint == metrics["data"]["fingerprint"]
    assert described.data.class_names == manifest["inputs"]["class_names"]
    assert described.backbone.trained == metrics["backbone"]["trained"]


def test_what_the_run_gave_is_what_its_files_say(
    events: list[Event], folder: Path, undisturbed: dict[str, Any]
) -> None:
    (evaluated,) = [event for event in events if isinstance(event, RunEvaluated)]
    (bounded,) = [event for event in events if isinstance(event, RunBounded)]
    predictions, bounds = read_predictions(folder / "test_predictions.safetensors"), read_json(folder / "bounds.json")

    assert evaluated.metrics == pytest.approx(undisturbed["metrics"])
    assert evaluated.model_sha256 == undisturbed["model_sha256"]
    assert np.array_equal(evaluated.confusion, predictions.confusion_matrix())
    assert [each.rows for each in evaluated.classes] == [sum(row) for row in evaluated.confusion]
    for number, each in enumerate(evaluated.classes):
        if each.sensitivity is None:
            assert each.rows == 0
        else:
            assert each.sensitivity.value == pytest.approx(evaluated.confusion[number][number] / each.rows)
            assert each.sensitivity.low <= each.sensitivity.value <= each.sensitivity.high
    for name, interval in evaluated.intervals.items():
        assert interval.low <= evaluated.metrics[name] <= interval.high
    assert bounded.centralized == bounds["centralized"]["test"]
    assert bounded.sites == len(CLIENTS)
    alone = sorted(site["test"]["accuracy"] for site in bounds["local"])
    spread = bounded.local["accuracy"]
    assert [spread.lowest, spread.median, spread.highest] == alone


def test_what_is_said_of_each_site_is_what_the_records_say(events: list[Event], undisturbed: dict[str, Any]) -> None:
    described = {event.node_id: event for event in events if isinstance(event, SiteDescribed)}
    evaluated = {event.node_id: event for event in events if isinstance(event, SiteEvaluated)}
    for client in undisturbed["clients"]:
        site, result = described[f"client-{client['client']}"], evaluated[f"client-{client['client']}"]
        assert (site.rows, site.validation_rows) == (client["rows"], client["validation_rows"])
        assert site.rows_per_class is not None
        assert sum(site.rows_per_class) == site.rows + site.validation_rows
        assert (result.metrics, result.local_metrics) == (client["global_metrics"], client["local_metrics"])
        assert (result.rows, result.last_round) == (client["validation_rows"], client["last_round"])
        interval = result.intervals["accuracy"]
        assert 0 <= interval.low <= result.metrics["accuracy"] <= interval.high <= 1


def test_every_exchange_of_a_model_counts_its_bytes(events: list[Event], undisturbed: dict[str, Any]) -> None:
    exchanges = [event for event in events if event.type in ("model_dispatched", "client_update_uploaded")]
    for number in ROUNDS:
        sizes = {"model_dispatched": 0, "client_update_uploaded": 0}
        for event in exchanges:
            if event.round == number:
                assert event.payload_bytes
                sizes[event.type] += event.payload_bytes
        record = undisturbed["rounds"][number - 1]
        assert sizes == {"model_dispatched": record["bytes_sent"], "client_update_uploaded": record["bytes_received"]}


def test_the_final_hash_is_the_same_everywhere(events: list[Event], folder: Path, undisturbed: dict[str, Any]) -> None:
    (completed,) = [event for event in events if isinstance(event, RunCompleted)]
    checkpoint = folder / "checkpoints" / "round-00003"
    assert {
        completed.model_sha256,
        undisturbed["model_sha256"],
        undisturbed["rounds"][-1]["model_sha256"],
        read_json(folder / "metrics.json")["model_sha256"],
        read_json(folder / "manifest.json")["model_sha256"],
        read_json(checkpoint / MANIFEST)["model_sha256"],
        model_sha256(load_file(checkpoint / "model.safetensors")),
    } == {completed.model_sha256}


def test_metrics_are_those_of_the_last_round(folder: Path, undisturbed: dict[str, Any]) -> None:
    metrics = read_json(folder / "metrics.json")
    assert metrics["test"] == undisturbed["metrics"]
    assert metrics["validation"] == undisturbed["rounds"][-1]["validation_metrics"]
    assert metrics["data"]["source"] == "phantom"


def test_the_tables_of_rounds_agree(folder: Path, undisturbed: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    assert [{key: value for key, value in line.items() if key != "clients"} for line in lines] == undisturbed["rounds"]
    rows = _read_table(folder / "rounds.csv")
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert row["model_sha256"] == line["model_sha256"]
        assert int(row["clients"]) == len(line["participants"]) == len(line["clients"])
        for name in ("round", "training_loss", "seconds", "bytes_sent", "bytes_received"):
            assert float(row[name]) == line[name]
        for name, value in line["validation_metrics"].items():
            assert float(row[f"validation_{name}"]) == value


def test_the_tables_of_clients_agree(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    expected = {(line["round"], client["client"]): client for line in lines for client in line["clients"]}
    rows = {(int(row["round"]), int(row["client"])): row for row in _read_table(folder / "clients.csv")}
    assert rows.keys() == expected.keys() == {(number, client) for number in ROUNDS for client in CLIENTS}
    for key, row in rows.items():
        for name in ("rows", "validation_rows", "training_loss", "seconds", "bytes_sent", "bytes_received"):
            assert float(row[name]) == expected[key][name]
        for whose in ("local", "global"):
            for name, value in expected[key][f"{whose}_metrics"].items():
                assert float(row[f"{whose}_{name}"]) == value


def test_bytes_of_clients_add_up_to_those_of_their_round(folder: Path) -> None:
    for line in map(json.loads, (folder / "rounds.jsonl").read_text().splitlines()):
        for name in ("bytes_sent", "bytes_received"):
            assert sum(client[name] for client in line["clients"]) == line[name]


def test_the_manifest_leads_to_every_input(folder: Path, home: Path, tiny_backbone: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    assert manifest["seed"] == 17
    assert manifest["config"] == read_run_config(folder / "config.yaml").model_dump(mode="json")
    for kind in ("dataset", "partition", "preprocess", "features"):
        artifact = home / "assets" / kind / manifest["inputs"]["keys"][kind]
        assert Path(manifest["inputs"][kind]) == artifact
        recorded = read_json(artifact / MANIFEST)
        assert recorded["key"] == artifact.name
        assert {name: sha256_file(artifact / name) for name in recorded["files"]} == {
            name: file["sha256"] for name, file in recorded["files"].items()
        }
    assert manifest["inputs"]["backbone"] == str(tiny_backbone)
    assert len(manifest["inputs"]["backbone_sha256"]) == 64
    assert len(manifest["inputs"]["data"]["fingerprint"]) == 64
    for name in ("torch", "transformers", "flwr", "datasets", "numpy"):
        assert manifest["packages"][name] == importlib.metadata.version(name)


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
