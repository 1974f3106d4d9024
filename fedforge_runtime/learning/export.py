"""The trained model as a Hugging Face checkpoint that `transformers.pipeline` loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.standardisation import Standardisation


def export_model(
    folder: Path,
    backbone: Path,
    processor: Path,
    parameters: Parameters,
    standardisation: Standardisation | None,
    class_names: Sequence[str],
    model_card: str,
) -> None:
    """In a worker: write `config.json`, `model.safetensors`, `preprocessor_config.json` and `README.md` into `folder`.

    The standardisation is folded into the classifier, so that the model takes raw features.
    """
    import torch
    from transformers import AutoImageProcessor, ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(
        backbone,
        num_labels=len(class_names),
        id2label=dict(enumerate(class_names)),
        label2id={name: index for index, name in enumerate(class_names)},
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )
    weight = np.asarray(parameters["classifier.weight"], dtype=np.float32)
    bias = np.asarray(parameters["classifier.bias"], dtype=np.float32)
    if standardisation:
        weight, bias = standardisation.fold_into(weight, bias)
    trained = {name: value for name, value in parameters.items() if name.startswith("vit.")}
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in {**trained, "classifier.weight": weight, "classifier.bias": bias}.items():
            own[name].copy_(torch.from_numpy(value.copy()))
    model.save_pretrained(folder)
    AutoImageProcessor.from_pretrained(processor).save_pretrained(folder)
    (folder / "README.md").write_text(model_card, encoding="utf-8")
