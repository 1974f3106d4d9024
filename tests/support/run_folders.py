"""A run folder as a small run leaves it, made by hand: no torch, no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedforge_runtime.config import load_run_config
from fedforge_runtime.learning.predictions import Predictions, write_predictions
from fedforge_runtime.learning.training import classification_metrics
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.record.records import ClientRecord, RoundRecord, write_tables
from fedforge_runtime.storage.artifacts import write_json
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import NodeError, RunCompleted, RunFailed, RunRequest, RunRequested, RunStarted
from tests.support.run_settings import run_inputs

HOSTILE = "<script>alert('x')</script> & \"$\\alpha$\" _\x01"
CLASSES = ["basophil", HOSTILE, "platelet"]
SHA256 = "ab" * 32

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run; arguments say how far it came and what its data are."""

    def make(
        *, rounds: int = 2, completed: bool = True, clients: int = 3, started: bool = True, **data: Any
    ) -> RunFolder:
        folder = RunFolder(tmp_path / "runs" / "a-run")
        folder.path.mkdir(parents=True)
        config = load_run_config(
            "blood", options={"federation.rounds": 2, "partition.clients": clients, "runtime.engine": "inprocess"}
        )
        folder.config.write_text(config.to_yaml())
        with Emitter(folder.events, run_id="a-run", role="server") as emitter:
            emitter.emit(RunRequested, round_number=0, node_id="server", request=RunRequest(phase="blood"))
            if not started:
                return folder
            write_json(folder.inputs, _inputs(_partition(tmp_path, clients), data).model_dump(mode="json"))
            emitter.emit(
                RunStarted, round_number=0, node_id="server", engine="inprocess", rounds_total=2, clients=clients
            )
            write_tables(folder, [_round(number, clients) for number in range(1, rounds + 1)])
            reason = f"it raised {HOSTILE}"
            emitter.emit(NodeError, round_number=1, node_id="client-1", task="train", reason=reason)
            if completed:
                _publish(folder, clients)
                emitter.emit(RunCompleted, round_number=rounds, node_id="server", model_sha256=SHA256)
            else:
                emitter.emit(RunFailed, round_number=rounds, node_id="server", reason="too few clients.")
        return folder

    return make


def bounds(clients: int) -> dict[str, Any]:
    """`bounds.json` in which client 0 alone is worst."""
    local = [
        {"client": client, "rows": 100 * (client + 1), "test": _scores(0.3 + 0.1 * client), "validation": _scores(0.5)}
        for client in range(clients)
    ]
    both = {"validation": _scores(0.9), "test": _scores(0.91)}
    return {"budget_epochs": 2, "centralized": both, "closed_form": both, "local": local, "artifact": "0" * 20}


def _scores(accuracy: float) -> dict[str, float]:
    return {"accuracy": accuracy, "balanced_accuracy": accuracy, "macro_f1": accuracy, "auc": 0.9, "loss": 1 - accuracy}


def _partition(home: Path, clients: int) -> Path:
    folder = home / "assets" / "partition" / "key"
    folder.mkdir(parents=True)
    counts = [{"client": client, "train": [9, client, 4], "validation": [1, 0, 1]} for client in range(clients)]
    write_json(folder / "histograms.json", {"class_names": CLASSES, "clients": counts})
    return folder


def _inputs(partition: Path, data: dict[str, Any]) -> RunInputs:
    facts = {
        "source": "phantom",
        "official": False,
        "licence": "none (generated)",
        "fingerprint": "cd" * 32,
        "title": "BloodMNIST",
        "rows": {"train": 45, "validation": 9, "test": 60},
    }
    return run_inputs(
        partition=str(partition),
        keys={"dataset": "0123", "partition": "4567", "preprocess": "89ab"},
        backbone_sha256="ef" * 32,
        class_names=CLASSES,
        data=facts | data,
    )


def _round(number: int, clients: int) -> RoundRecord:
    return RoundRecord(
        round=number,
        model_sha256=SHA256,
        participants=list(range(clients)),
        seconds=1.5,
        bytes_sent=3_000_000,
        bytes_received=2_000_000,
        training_loss=1 / number,
        validation_metrics=_scores(0.4 + 0.1 * number),
        clients=[
            ClientRecord(
                client=client,
                rows=10 + client,
                validation_rows=5,
                training_loss=1 / number,
                seconds=0.25,
                round_trip_seconds=0.5,
                bytes_sent=100,
                bytes_received=200,
                local_metrics=_scores(0.9),
                global_metrics={} if client == 1 else _scores(0.8 - 0.1 * client),
            )
            for client in range(clients)
        ],
    )


def _publish(folder: RunFolder, clients: int) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    logits = (generator.normal(size=(60, 3)) + 2 * np.eye(3)[labels]).astype(np.float32)
    write_predictions(folder.test_predictions, Predictions(logits, labels))
    write_json(folder.metrics, {"model_sha256": SHA256, "test": classification_metrics(logits, labels)})
    write_json(folder.seconds, {"prepare": 1.0, "features": 2.0, "rounds": 130.0, "total": 133.0})
    write_json(
        folder.manifest,
        {
            "completed_at": "2026-11-24T09:30:00.5+00:00",
            "fedforge": {"version": "0.1.0", "commit": "c0ffee"},
            "python": "3.11.7",
            "platform": "Linux",
            "packages": {"torch": "2.14.1"},
            "config": {"phase": "blood"},
            "inputs": {
                "data": {"fingerprint": SHA256},
                "class_names": CLASSES,
                "keys": {"dataset": "1"},
                "backbone_sha256": SHA256,
            },
        },
    )
