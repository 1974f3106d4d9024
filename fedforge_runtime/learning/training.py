"""What a client does in a round: `transformers.Trainer` over its own rows, configured and never re-written.

The metrics of every table and screen are an `evaluate.Metric` that needs no hub.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray
from torch.optim import Optimizer
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from fedforge_runtime.config import LearningConfig
from fedforge_runtime.errors import DivergedError
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.model import Head
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.predictions import Predictions
from fedforge_runtime.learning.rows import FeatureRows, ImageRows, Rows, TokenRows
from fedforge_runtime.learning.scores import weighted_scores

_EVALUATION_BATCH: dict[type[Rows], int] = {FeatureRows: 1024, TokenRows: 32, ImageRows: 8}


@dataclass(frozen=True)
class TrainingOutcome:
    """A client's update."""

    parameters: Parameters
    rows: int
    training_loss: float
    """Mean over the round's batches."""
    validation_metrics: dict[str, float]
    """Of the client's own model after training, on its own validation rows; empty when there were none to use."""


def train_model(
    model: Head,
    *,
    training_rows: Rows,
    validation_rows: Rows | None,
    learning: LearningConfig,
    seed: int,
    proximal_mu: float = 0.0,
) -> TrainingOutcome:
    """Train `model` in place for `learning.epochs` epochs and evaluate it after each.

    Args:
        validation_rows: `None` to leave out the evaluation.
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
        validation_metrics=_named_metrics(evaluations[-1]) if evaluations else {},
    )


def evaluate_model(model: Head, rows: Rows, learning: LearningConfig) -> dict[str, float]:
    """The metrics of `model` on `rows`; see `metric_names.METRIC_NAMES`."""
    return _named_metrics(_trainer(model, learning, 0, None, rows).evaluate())


def predict_model(model: Head, rows: Rows, learning: LearningConfig) -> tuple[Predictions, dict[str, float]]:
    """What `model` answers on `rows`, and the metrics of `evaluate_model`, to the bit, in one pass."""
    output = _trainer(model, learning, 0, None, rows).predict(rows, metric_key_prefix="eval")
    return Predictions(np.asarray(output.predictions), np.asarray(output.label_ids)), _named_metrics(output.metrics)


def _trainer(
    model: Head, learning: LearningConfig, seed: int, training_rows: Rows | None, evaluation_rows: Rows | None
) -> Trainer:
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # must exist; nothing is ever saved there
        per_device_train_batch_size=learning.batch_size,
        per_device_eval_batch_size=_EVALUATION_BATCH[type(evaluation_rows)] if evaluation_rows else 1,
        gradient_accumulation_steps=learning.gradient_accumulation_steps,
        num_train_epochs=learning.epochs,
        learning_rate=learning.learning_rate,
        weight_decay=learning.weight_decay,
        warmup_steps=learning.warmup_ratio,
        max_grad_norm=learning.max_gradient_norm,
        eval_strategy="epoch" if training_rows and evaluation_rows else "no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        use_cpu=learning.device == "cpu",
        seed=seed,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=training_rows,
        eval_dataset=evaluation_rows,
        data_collator=lambda batch: batch,  # it arrives whole
        compute_metrics=_compute_metrics,
    )
    trainer.remove_callback(PrinterCallback)
    if any(name.startswith("vit.") for name in model.trainable_names()):
        trainer.optimizer = _two_rates(trainer, model, learning)
    return trainer


def _two_rates(trainer: Trainer, model: Head, learning: LearningConfig) -> Optimizer:
    """Trainer's own optimiser, with a learning rate for the head and another for what lies below it."""
    decayed = set(trainer.get_decay_parameter_names(model))
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            groups.setdefault((name.startswith("vit."), name in decayed), []).append(value)
    optimizer_class, settings = Trainer.get_optimizer_cls_and_kwargs(trainer.args, model)
    optimizer: Optimizer = optimizer_class(
        [
            {
                "params": values,
                "lr": learning.backbone_learning_rate if below else learning.learning_rate,
                "weight_decay": learning.weight_decay if decays else 0.0,
            }
            for (below, decays), values in groups.items()
        ],
        **settings,
    )
    return optimizer


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    values: dict[str, float] = _metric().compute(
        predictions=np.asarray(prediction.predictions), references=np.asarray(prediction.label_ids)
    )
    return values


def _named_metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {name: float(entry[f"eval_{name}"]) for name in METRIC_NAMES if f"eval_{name}" in entry}


@lru_cache(maxsize=1)
def _metric() -> ClassificationMetrics:
    return ClassificationMetrics(keep_in_memory=True)


class ClassificationMetrics(evaluate.Metric):  # type: ignore[misc]
    """Accuracy, balanced accuracy, macro F1, one-vs-rest macro AUC and mean cross-entropy of class logits."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Classification quality from logits.",
            citation="",
            inputs_description="predictions: logits (rows, classes); references: class ids (rows,)",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return classification_metrics(np.asarray(predictions), np.asarray(references))


def classification_metrics(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """The five metrics by name.

    Args:
        logits: (rows, classes).
        labels: class ids (rows,).

    Balanced accuracy and F1 average over the classes present in `labels`. AUC averages one-vs-rest over the
    classes that have both positive and negative rows, and is NaN-free: it is left out when no class has both.

    Raises:
        DivergedError: logits that are not finite.
    """
    if not np.isfinite(logits).all():
        raise DivergedError(
            "the model's outputs are not finite numbers: its training has diverged.",
            remedy="Lower learning.learning_rate.",
        )
    scores = weighted_scores(logits, labels, np.ones((len(labels), 1)))
    values = {name: float(scores[name][0]) for name in METRIC_NAMES}
    return {name: value for name, value in values.items() if name != "auc" or np.isfinite(value)}
