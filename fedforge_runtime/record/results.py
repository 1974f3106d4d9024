"""What a completed run leaves: test predictions, metrics.json, manifest.json and the exported model."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fedforge_runtime import __version__
from fedforge_runtime.clock import utc_now
from fedforge_runtime.data.features.preprocess import PROCESSOR_FOLDER
from fedforge_runtime.learning.predictions import write_predictions
from fedforge_runtime.learning.scores import bootstrap_seed, evaluation_of
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.record.checkpoint import Checkpoint
from fedforge_runtime.record.evaluation import predict_split
from fedforge_runtime.record.model_card import model_card
from fedforge_runtime.record.provenance import RECORDED_PACKAGES, git_commit
from fedforge_runtime.sites.settings import RunSettings
from fedforge_runtime.storage.artifacts import publish_folder, write_json
from fedforge_runtime.telemetry.control import Control, await_result


def publish_results(settings: RunSettings, final: Checkpoint, pool: WorkerPool, control: Control) -> dict[str, Any]:
    """Have the final model predict the test split, export it and write the run's metrics and manifest.

    Returns:
        What `evaluation_of` says of the predictions.

    Raises:
        RunStoppedError: a stop was asked for before it was done.
    """
    predicted = pool.submit(predict_split, settings, final.round, final.parameters, final.standardisation, "test")
    predictions, test = await_result(predicted, control)
    write_predictions(settings.folder.test_predictions, predictions)
    evaluated = pool.submit(
        evaluation_of, predictions, settings.inputs.class_names, bootstrap_seed(settings.config.seed)
    )
    _export(settings, final, test, pool, control)
    inputs = settings.inputs
    write_json(
        settings.folder.metrics,
        {
            "run_id": settings.folder.run_id,
            "model_sha256": final.model_sha256,
            "rounds_completed": final.round,
            "data": provenance_of_data(settings),
            "backbone": {"name": inputs.backbone_name, "trained": inputs.backbone_trained},
            "validation": final.records[-1].validation_metrics,
            "test": test,
        },
    )
    write_json(settings.folder.manifest, _manifest(settings, final))
    evaluation: dict[str, Any] = await_result(evaluated, control)
    return evaluation


def provenance_of_data(settings: RunSettings) -> dict[str, Any]:
    """Source, fingerprint and whether the images are the official ones; of those that the model is scored on, where
    the sites bring their own."""
    told = ("source", "fingerprint", "official", "licence", "rows")
    return {"site_data": settings.config.federation.site_data, **{name: settings.inputs.data[name] for name in told}}


def _manifest(settings: RunSettings, final: Checkpoint) -> dict[str, Any]:
    return {
        "run_id": settings.folder.run_id,
        "attempt": settings.attempt,
        "model_sha256": final.model_sha256,
        "seed": settings.config.seed,
        "config": settings.config.model_dump(mode="json"),
        "inputs": settings.inputs.model_dump(mode="json"),
        "completed_at": utc_now().isoformat(),
        "fedforge": {"version": __version__, "commit": git_commit()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
    }


def _export(
    settings: RunSettings, final: Checkpoint, test: dict[str, float], pool: WorkerPool, control: Control
) -> None:
    partial = settings.folder.path / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    await_result(pool.submit(_write_model, partial, settings.inputs, final, model_card(settings, final, test)), control)
    shutil.rmtree(settings.folder.model, ignore_errors=True)
    publish_folder(partial, settings.folder.model)


def _write_model(folder: Path, inputs: RunInputs, final: Checkpoint, card: str) -> None:
    """In a worker: `config.json`, `model.safetensors`, `preprocessor_config.json` and `README.md` as the Hugging Face
    checkpoint that `transformers.pipeline` loads.

    The standardisation is folded into the classifier, so that the model takes raw features.
    """
    import torch
    from transformers import AutoImageProcessor, ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(
        inputs.backbone,
        num_labels=len(inputs.class_names),
        id2label=dict(enumerate(inputs.class_names)),
        label2id={name: index for index, name in enumerate(inputs.class_names)},
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )
    weight = np.asarray(final.parameters["classifier.weight"], dtype=np.float32)
    bias = np.asarray(final.parameters["classifier.bias"], dtype=np.float32)
    if final.standardisation:
        weight, bias = final.standardisation.fold_into(weight, bias)
    trained = {name: value for name, value in final.parameters.items() if name.startswith("vit.")}
    with torch.no_grad():
        for name, value in {**trained, "classifier.weight": weight, "classifier.bias": bias}.items():
            model.get_parameter(name).copy_(torch.from_numpy(value.copy()))
    model.save_pretrained(folder)
    AutoImageProcessor.from_pretrained(Path(inputs.preprocess) / PROCESSOR_FOLDER).save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
