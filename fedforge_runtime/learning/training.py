"""What a client does in a round: `transformers.Trainer` over its own rows, configured and never re-written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from fedforge_runtime.config import LearningConfig
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.metrics import ClassificationMetrics
from fedforge_runtime.learning.model import FeatureHead
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.rows import FeatureRows, ImageRows, keep_batch

Rows = FeatureRows | ImageRows
_FEATURE_EVALUATION_BATCH = 1024
_IMAGE_EVALUATION_BATCH = 8


@dataclass(frozen=True)
class TrainingOutcome:
    """A client's update."""

    parameters: Parameters
    rows: int
    training_loss: float
    """Mean over the round's batches."""
    validation_metrics: dict[str, float]
    """Of the client's own model after training, on its own validation rows."""


def train_model(
    model: FeatureHead,
    *,
    training_rows: Rows,
    validation_rows: Rows,
    learning: LearningConfig,
    seed: int,
    proximal_mu: float = 0.0,
) -> TrainingOutcome:
    """Train `model` in place for `learning.epochs` epochs and evaluate it after each.

    Args:
        seed: decides the order of rows; the same seed gives the same bits.
        proximal_mu: FedProx's weight, 0 for none.
    """
    if proximal_mu > 0:
        model.pull_towards_present(proximal_mu)
    trainer = _trainer(model, learning, seed, training_rows, validation_rows)
    output = trainer.train()
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    return TrainingOutcome(
        parameters=model.trainable(),
        rows=len(training_rows),
        training_loss=float(output.training_loss),
        validation_metrics=_named_metrics(evaluations[-1]),
    )


def evaluate_model(model: FeatureHead, rows: Rows, learning: LearningConfig) -> dict[str, float]:
    """The metrics of `model` on `rows`; see `metric_names.METRIC_NAMES`."""
    return _named_metrics(_trainer(model, learning, 0, None, rows).evaluate())


def _trainer(
    model: FeatureHead, learning: LearningConfig, seed: int, training_rows: Rows | None, evaluation_rows: Rows
) -> Trainer:
    evaluation_batch = (
        _FEATURE_EVALUATION_BATCH if isinstance(evaluation_rows, FeatureRows) else _IMAGE_EVALUATION_BATCH
    )
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # must exist; nothing is ever saved there
        per_device_train_batch_size=learning.batch_size,
        per_device_eval_batch_size=evaluation_batch,
        gradient_accumulation_steps=learning.gradient_accumulation_steps,
        num_train_epochs=learning.epochs,
        learning_rate=learning.learning_rate,
        weight_decay=learning.weight_decay,
        warmup_steps=learning.warmup_ratio,
        max_grad_norm=learning.max_gradient_norm,
        eval_strategy="epoch" if training_rows else "no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        use_cpu=True,
        seed=seed,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=training_rows,
        eval_dataset=evaluation_rows,
        data_collator=keep_batch,
        compute_metrics=_compute_metrics,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    metric = _metric()
    values: dict[str, float] = metric.compute(
        predictions=np.asarray(prediction.predictions), references=np.asarray(prediction.label_ids)
    )
    return values


def _named_metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {name: float(entry[f"eval_{name}"]) for name in METRIC_NAMES if f"eval_{name}" in entry}


@lru_cache(maxsize=1)
def _metric() -> ClassificationMetrics:
    return ClassificationMetrics(keep_in_memory=True)
