"""What a run leaves behind agrees with itself: events, tables, metrics and manifest."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from fedforge_runtime.artifacts import MANIFEST, read_json, sha256_file
from fedforge_runtime.config import read_run_config
from fedforge_runtime.learning.parameters import model_sha256
from monitor.schema import Event, RoundStarted, RunCompleted, event_adapter

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
        if each.type != "node_heartbeat"
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
        "run_started",
        "checkpoint_saved",
        *(each_round * len(ROUNDS)),
        "run_completed",
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
    ]


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
    completed = events[-1]
    assert isinstance(completed, RunCompleted)
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
