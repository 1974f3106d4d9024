"""The README of an exported model: what it was made from, how it scored, and what its licence allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fedforge_runtime.data.sources.catalogue import licence_restriction, licence_terms
from fedforge_runtime.record.checkpoint import Checkpoint
from fedforge_runtime.record.stages import carried_over
from fedforge_runtime.sites.settings import RunSettings

_LICENCE_OF_THE_SITES = (
    "The classifier's weights are derived from images that each site brought itself: who may use them, and for "
    "what, is to be agreed with the sites. The backbone's weights are part of this model; their own licence is "
    "to be kept as well."
)


def model_card(settings: RunSettings, final: Checkpoint, test: Mapping[str, float]) -> str:
    """Markdown with the metadata block of the Hugging Face hub.

    Args:
        test: metrics of the final model on the test split, by name.
    """
    inputs, config = settings.inputs, settings.config
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
            f"{len(config.sites)} clients, strategy {config.federation.strategy.name}, seed {config.seed}.",
            "",
            f"- model SHA-256 (trainable tensors): `{final.model_sha256}`",
            *_data(settings, final),
            f"- backbone: {inputs.backbone_name}, `{inputs.backbone_sha256}`",
            f"- trained: mode {config.learning.mode}; {carried_over(config)}",
            "",
            "| test split | |",
            "|---|---|",
            *(f"| {name} | {value:.4f} |" for name, value in test.items()),
            "",
            "## Licence",
            "",
            *([_LICENCE_OF_THE_SITES] if settings.own_data else _licence(inputs.data["licence"])),
            "",
            "Not a medical device. Model updates were not protected by secure aggregation.",
            "",
        ]
    )


def _data(settings: RunSettings, final: Checkpoint) -> list[str]:
    data = settings.inputs.data
    source = f"{data['source']}, fingerprint `{data['fingerprint']}`, licence {data['licence']}"
    if not settings.own_data:
        return [f"- data: {source}"]
    reported = {client.client: client.rows for record in final.records for client in record.clients}
    rows = ", ".join(f"{count:,} (client {client})" for client, count in sorted(reported.items()))
    return [
        f"- trained on: each site's own data, which never left it; rows as the sites report them: {rows or 'none yet'}",
        f"- scored on: {source}",
    ]


def _metadata(settings: RunSettings) -> dict[str, Any]:
    terms = None if settings.own_data else licence_terms(settings.inputs.data["licence"])
    other = "terms-of-the-sites" if settings.own_data else "licence-of-the-backbone"
    name = settings.inputs.backbone_name
    from_hub = settings.inputs.backbone_trained and name.count("/") == 1 and not Path(name).exists()
    return {
        **({"license": terms.hub_id} if terms else {"license": "other", "license_name": other}),
        "library_name": "transformers",
        "pipeline_tag": "image-classification",
        "tags": ["federated-learning", "fedforge"],
        **({"base_model": name} if from_hub else {}),
    }


def _warnings(settings: RunSettings) -> list[str]:
    inputs = settings.inputs
    warnings = []
    if inputs.data["source"] == "phantom":
        used = "scored" if settings.own_data else "trained and scored"
        warnings.append(f"**Phantom data**: {used} on generated images, not on medical ones.")
    elif not inputs.data["official"]:
        warnings.append("The images are not the official archive: scores do not compare with published ones.")
    elif settings.own_data:
        warnings.append(
            "Trained on other images than the official archive's: scores do not compare with published ones."
        )
    if not inputs.backbone_trained:
        warnings.append("**Untrained backbone**: its weights are random.")
    restriction = None if settings.own_data else licence_restriction(inputs.data["licence"])
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
