"""The README of an exported model: what it was made from, how it scored, and what its licence allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fedforge_runtime.data.licence import licence_restriction, licence_terms
from fedforge_runtime.federation.checkpoint import Checkpoint
from fedforge_runtime.federation.settings import RunSettings
from fedforge_runtime.federation.stages import carried_over


def model_card(settings: RunSettings, final: Checkpoint, test: Mapping[str, float]) -> str:
    """Markdown with the metadata block of the Hugging Face hub.

    Args:
        test: metrics of the final model on the test split, by name.
    """
    inputs, config = settings.inputs, settings.config
    licence = inputs.data["licence"]
    scores = [f"| {name} | {value:.4f} |" for name, value in test.items()]
    return "\n".join(
        [
            "---",
            yaml.safe_dump(_metadata(settings), sort_keys=False).rstrip(),
            "---",
            "",
            f"# {inputs.data['title']}: federated classifier",
            "",
            *(f"> {warning}\n" for warning in _warnings(settings)),
            f"Run `{settings.folder.run_id}`, phase {config.phase}: {final.round} rounds over "
            f"{config.partition.clients} clients, strategy {config.federation.strategy.name}, seed {config.seed}.",
            "",
            f"- model SHA-256 (trainable tensors): `{final.model_sha256}`",
            f"- data: {inputs.data['source']}, fingerprint `{inputs.data['fingerprint']}`, licence {licence}",
            f"- backbone: {inputs.backbone_name}, `{inputs.backbone_sha256}`",
            f"- trained: mode {config.learning.mode}; {carried_over(config)}",
            "",
            "| test split | |",
            "|---|---|",
            *scores,
            "",
            "## Licence",
            "",
            *_licence(licence),
            "",
            "Not a medical device. Model updates were not protected by secure aggregation.",
            "",
        ]
    )


def _metadata(settings: RunSettings) -> dict[str, Any]:
    terms = licence_terms(settings.inputs.data["licence"])
    licence = {"license": terms.hub_id} if terms else {"license": "other", "license_name": "licence-of-the-backbone"}
    name = settings.inputs.backbone_name
    from_hub = settings.inputs.backbone_trained and name.count("/") == 1 and not Path(name).exists()
    return {
        **licence,
        "library_name": "transformers",
        "pipeline_tag": "image-classification",
        "tags": ["federated-learning", "fedforge"],
        **({"base_model": name} if from_hub else {}),
    }


def _warnings(settings: RunSettings) -> list[str]:
    inputs = settings.inputs
    warnings = []
    if inputs.data["source"] == "phantom":
        warnings.append("**Phantom data**: trained and scored on generated images, not on medical ones.")
    elif not inputs.data["official"]:
        warnings.append("The images are not the official archive: scores do not compare with published ones.")
    if not inputs.backbone_trained:
        warnings.append("**Untrained backbone**: its weights are random.")
    restriction = licence_restriction(inputs.data["licence"])
    return [*warnings, f"**{restriction}**"] if restriction else warnings


def _licence(stated: str) -> list[str]:
    """Why the metadata name this licence, and what else is to be kept."""
    terms = licence_terms(stated)
    backbone = "The backbone's weights are part of this model; their own licence is to be kept as well."
    if terms is None:
        return [f"The images are generated and under no licence. {backbone}"]
    allowed = "It allows no commercial use and asks for" if terms.non_commercial else "It asks for"
    basis = f"The images are under {terms.name}."
    if terms.assumed:
        basis = (
            f"The data file states no licence. It holds images of a collection whose official archive is under "
            f"{terms.name}, which is taken to apply until the owner of the file says otherwise."
        )
    return [
        f"`license: {terms.hub_id}` is that of the training images, from which the classifier's weights are derived.",
        f"{basis} {allowed} credit to the authors of the images. {backbone}",
    ]
