"""One client's training: `Trainer` as the product uses it against a plain PyTorch loop with the same arithmetic.

Run as a module it measures in a process like a worker's and prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figures import Results
from benchmarks.product import fedforge, run_json
from benchmarks.subject import CLIENTS, Subject
from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import LearningConfig
from fedforge_runtime.processes.environment import configure_third_parties

if TYPE_CHECKING:
    from fedforge_runtime.learning.model import FeatureHead
    from fedforge_runtime.learning.parameters import Parameters
    from fedforge_runtime.learning.rows import FeatureRows

_SEED = 17
_LARGEST_DIFFERENCE = 1e-5


def measure(subject: Subject) -> Results:
    """The ratio on the cached features of the client whose size is nearest to the mean."""
    with subject.home_with_features() as home:
        made = fedforge("prepare", "blood", *subject.options(limit=subject.effort.dataset_limit), home=home)
        folders = [made[kind]["path"] for kind in ("features", "partition")]
        repeats = str(subject.effort.training_repeats)
        return run_json([sys.executable, "-m", "benchmarks.training", *folders, "--repeats", repeats])


@dataclass(frozen=True)
class _Work:
    """What both loops are given."""

    training_rows: FeatureRows
    validation_rows: FeatureRows
    new_model: Callable[[], FeatureHead]
    learning: LearningConfig


def _compare(features: Path, partition: Path, repeats: int) -> Results:
    configure_third_parties()
    import fedforge_runtime.engines.preload  # noqa: F401 - freezes the collector, as in workers

    work = _open(features, partition)
    order, by_trainer = _record_order(work)
    by_loop = train_raw(work, order)
    difference = max(float(np.abs(by_trainer[name] - by_loop[name]).max()) for name in by_trainer)
    if difference > _LARGEST_DIFFERENCE:
        raise AssertionError(f"the two loops do not compute the same: their weights differ by {difference:.2g}")
    trainer_seconds, raw_seconds = [], []
    for _ in range(repeats):
        trainer_seconds.append(_seconds(lambda: _train(work, work.training_rows)))
        raw_seconds.append(_seconds(lambda: train_raw(work, order)))
    return {
        "trainer_over_raw_ratio": median(trainer_seconds) / median(raw_seconds),
        "trainer_seconds": median(trainer_seconds),
        "raw_loop_seconds": median(raw_seconds),
        "trainer_over_raw_rows": len(work.training_rows),
        "trainer_over_raw_repeats": repeats,
        "trainer_over_raw_largest_weight_difference": difference,
        "trainer_over_raw_includes": "one epoch, then the evaluation of a single row",
    }


def _open(features: Path, partition: Path) -> _Work:
    from fedforge_runtime.data.features.caches import load_features
    from fedforge_runtime.data.partition import load_client_rows
    from fedforge_runtime.learning.model import FeatureHead
    from fedforge_runtime.learning.parameters import initial_head
    from fedforge_runtime.learning.rows import FeatureRows
    from fedforge_runtime.learning.sums import FeatureSums, Standardisation

    values, labels = load_features(features, "train")
    class_count = int(labels.max()) + 1
    clients = [load_client_rows(partition, client) for client in range(CLIENTS)]
    mean_size = np.mean([len(client.train) for client in clients])
    chosen = min(clients, key=lambda client: abs(len(client.train) - mean_size))
    standardisation = Standardisation.from_sums([FeatureSums.of(values)])

    def new_model() -> FeatureHead:
        model = FeatureHead(values.shape[1], class_count, standardisation)
        model.load_trainable(initial_head(values.shape[1], class_count, seed=_SEED))
        return model

    return _Work(
        training_rows=FeatureRows(values[chosen.train], labels[chosen.train]),
        validation_rows=FeatureRows(values[chosen.validation[:1]], labels[chosen.validation[:1]]),
        new_model=new_model,
        learning=LearningConfig(),
    )


def _train(work: _Work, training_rows: FeatureRows) -> Parameters:
    from fedforge_runtime.learning.training import train_model

    outcome = train_model(
        work.new_model(),
        training_rows=training_rows,
        validation_rows=work.validation_rows,
        learning=work.learning,
        seed=_SEED,
    )
    return outcome.parameters


def _record_order(work: _Work) -> tuple[list[list[int]], Parameters]:
    """The rows of each batch as `Trainer` draws them, and the weights that it ends with."""
    from fedforge_runtime.learning.rows import Batch, FeatureRows

    batches: list[list[int]] = []

    class Recorded(FeatureRows):
        def __getitems__(self, rows: Sequence[int]) -> Batch:
            batches.append(list(rows))
            return super().__getitems__(rows)

    rows = Recorded(work.training_rows.features.numpy(), work.training_rows.labels.numpy())
    return batches, _train(work, rows)


def train_raw(work: _Work, batches: Sequence[Sequence[int]]) -> Parameters:
    """What `Trainer` computes, written down: accumulated AdamW steps with clipping and a warmed-up linear decay."""
    import torch

    from fedforge_runtime.learning.training import classification_metrics

    model, learning = work.new_model(), work.learning
    every = learning.gradient_accumulation_steps
    steps = -(-len(batches) // every)
    warmup = int(np.ceil(steps * learning.warmup_ratio))
    classifier = model.classifier
    optimizer = torch.optim.AdamW(
        [
            {"params": [classifier.weight], "weight_decay": learning.weight_decay},
            {"params": [classifier.bias], "weight_decay": 0.0},
        ],
        lr=learning.learning_rate,
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / warmup if step < warmup else (steps - step) / max(steps - warmup, 1)
    )
    model.train()
    for first in range(0, len(batches), every):
        group = batches[first : first + every]
        for rows in group:
            batch = work.training_rows.__getitems__(rows)
            (model(**batch)["loss"] / len(group)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), learning.max_gradient_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        logits = model(work.validation_rows.features)["logits"]
    classification_metrics(logits.numpy(), work.validation_rows.labels.numpy())
    return model.trainable()


def _seconds(work: Callable[[], object]) -> float:
    started = monotonic()
    work()
    return monotonic() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("features", type=Path)
    parser.add_argument("partition", type=Path)
    parser.add_argument("--repeats", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(_compare(arguments.features, arguments.partition, arguments.repeats)))
