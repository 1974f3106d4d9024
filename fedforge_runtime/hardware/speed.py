"""How fast this machine computes features and trains heads, measured on a short piece of the real work.

How long the phases take by that is arithmetic over plain numbers, and always called an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import DatasetConfig, LearningConfig, RunConfig
from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.data.features.caches import prepare_features
from fedforge_runtime.data.features.preprocess import prepare_preprocessing
from fedforge_runtime.data.features.row_pass import CHUNK_ROWS, PassImages, PassTools
from fedforge_runtime.data.sources.datasets import prepare_dataset, read_dataset_facts
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.progress import Progress
from fedforge_runtime.storage.artifacts import ArtifactStore

_CHUNKS_PER_WORKER = 4
"""The first of each worker opens the data and the model and is not counted."""
_MOST_IMAGES = 4096
_FEW_ROWS, _MANY_ROWS = 160, 1600
_REPEATS = 3
_CLASSES = 8


@dataclass(frozen=True)
class FeatureSpeed:
    """What a feature pass over images does in a second, with all workers at work."""

    images_per_second: float
    images: int
    """How many were counted."""
    workers: int


@dataclass(frozen=True)
class Cost:
    """Seconds of one core for a call of so many rows: `seconds_per_call + rows * seconds_per_row`."""

    seconds_per_call: float
    seconds_per_row: float

    @classmethod
    def through(cls, few: tuple[int, float], many: tuple[int, float]) -> Cost:
        """The line through two measurements (rows, seconds); neither part is below zero."""
        slope = max((many[1] - few[1]) / (many[0] - few[0]), 0.0)
        return cls(seconds_per_call=max(few[1] - slope * few[0], 0.0), seconds_per_row=slope)

    def of(self, calls: int, rows: int) -> float:
        """Seconds of one core for so many calls over so many rows in all."""
        return calls * self.seconds_per_call + rows * self.seconds_per_row


@dataclass(frozen=True)
class HeadSpeed:
    """What `Trainer` takes on cached features, with all workers at work."""

    training: Cost
    """An epoch over a site's training rows, and the evaluation of a ninth as many."""
    evaluation: Cost
    workers: int


def measure_features(backbone: Backbone, *, store: ArtifactStore, pool: WorkerPool) -> FeatureSpeed:
    """Time a feature pass over some generated images; their content does not matter.

    Args:
        store: a temporary one; what is computed stays there.
    """
    limit = min(max(pool.workers, 2) * _CHUNKS_PER_WORKER * CHUNK_ROWS, _MOST_IMAGES)
    config = DatasetConfig(flag="bloodmnist", source="phantom", limit=limit)
    dataset = prepare_dataset(config, store=store, notify=lambda _: None)
    class_names = read_dataset_facts(dataset).class_names
    preprocessing = prepare_preprocessing(backbone, class_names=class_names, store=store, pool=pool)
    moments: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        moments.append((monotonic(), progress.rows_done))

    tools = PassTools(store, pool, note, check_stop=lambda: None)
    prepare_features(PassImages(dataset), preprocessing, backbone, tokens=None, tools=tools)
    return speed_of(moments, pool.workers)


def speed_of(moments: list[tuple[float, int]], workers: int) -> FeatureSpeed:
    """The speed after each worker's first chunk.

    Args:
        moments: (seconds, rows done) at the start and after each chunk.
    """
    begun, ended = moments[min(workers, len(moments) - 2)], moments[-1]
    rows = ended[1] - begun[1]
    return FeatureSpeed(images_per_second=rows / (ended[0] - begun[0]), images=rows, workers=workers)


def measure_head(feature_size: int, *, learning: LearningConfig, pool: WorkerPool) -> HeadSpeed:
    """Time `Trainer` on drawn features in all workers at once, for few rows and for many."""
    _time_together(pool, 1, _FEW_ROWS, feature_size, learning)  # the first call in a process takes longer
    few = _time_together(pool, _REPEATS, _FEW_ROWS, feature_size, learning)
    many = _time_together(pool, _REPEATS, _MANY_ROWS, feature_size, learning)
    return HeadSpeed(
        training=Cost.through((_FEW_ROWS, few[0]), (_MANY_ROWS, many[0])),
        evaluation=Cost.through((_FEW_ROWS, few[1]), (_MANY_ROWS, many[1])),
        workers=pool.workers,
    )


def _time_together(
    pool: WorkerPool, repeats: int, rows: int, feature_size: int, learning: LearningConfig
) -> tuple[float, float]:
    """The median seconds of a training and of an evaluation."""
    times: list[tuple[float, float]] = []
    for _ in range(repeats):
        running = [pool.submit(_time_head, rows, feature_size, learning) for _ in range(pool.workers)]
        times += [each.result() for each in running]
    return median(training for training, _ in times), median(evaluation for _, evaluation in times)


def _time_head(rows: int, feature_size: int, learning: LearningConfig) -> tuple[float, float]:
    """In a worker: seconds of a training over so many rows, and of an evaluation over as many."""
    from fedforge_runtime.learning.model import FeatureHead
    from fedforge_runtime.learning.rows import FeatureRows
    from fedforge_runtime.learning.training import evaluate_model, train_model

    features = np.random.default_rng(rows).normal(size=(rows, feature_size)).astype(np.float32)
    labels = np.arange(rows, dtype=np.int64) % _CLASSES
    training_rows, head = FeatureRows(features, labels), FeatureHead(feature_size, _CLASSES, None)
    own = FeatureRows(features[: rows // 9], labels[: rows // 9])
    started = monotonic()
    train_model(head, training_rows=training_rows, validation_rows=own, learning=learning, seed=rows)
    trained = monotonic()
    evaluate_model(head, training_rows, learning)
    return trained - started, monotonic() - trained


_FLOAT_BYTES = 4


@dataclass(frozen=True)
class PhaseWork:
    """What a phase asks of a machine."""

    phase: str
    rows: Mapping[str, int]
    """Images by split: `train`, `validation`, `test`."""
    clients: int
    validation_fraction: float
    """The part of a client's rows that it keeps for its own evaluation."""
    rounds: int
    epochs: int
    feature_size: int
    tokens: int
    """Per image, where the last block begins."""

    @classmethod
    def of(cls, config: RunConfig, rows: Mapping[str, int], *, feature_size: int, tokens: int) -> PhaseWork:
        """A configuration over so many images."""
        return cls(
            phase=config.phase,
            rows=rows,
            clients=config.federation.clients_per_round or len(config.sites),
            validation_fraction=config.partition.validation_fraction,
            rounds=config.federation.rounds,
            epochs=config.learning.epochs,
            feature_size=feature_size,
            tokens=tokens,
        )


@dataclass(frozen=True)
class PhaseEstimate:
    """What a phase will take on this machine, head only; the features are computed once and then found."""

    phase: str
    images: int
    feature_seconds: float
    feature_bytes: int
    rounds: int
    round_seconds: float
    rounds_seconds: float
    token_bytes: int
    """What `last_block` keeps on disk besides."""


def estimate_phase(work: PhaseWork, features: FeatureSpeed, head: HeadSpeed) -> PhaseEstimate:
    """Seconds and bytes of a phase; rounds count what clients and the server compute, spread evenly over workers."""
    images = sum(work.rows.values())
    kept = round(work.rows["train"] * work.validation_fraction)
    core_seconds = (
        head.training.of(work.clients, (work.rows["train"] - kept) * work.epochs)
        + head.evaluation.of(work.clients, kept)
        + head.evaluation.of(1, work.rows["validation"])
    )
    round_seconds = core_seconds / head.workers
    return PhaseEstimate(
        phase=work.phase,
        images=images,
        feature_seconds=images / features.images_per_second,
        feature_bytes=images * work.feature_size * _FLOAT_BYTES,
        rounds=work.rounds,
        round_seconds=round_seconds,
        rounds_seconds=round_seconds * work.rounds,
        token_bytes=images * work.tokens * work.feature_size * _FLOAT_BYTES,
    )
