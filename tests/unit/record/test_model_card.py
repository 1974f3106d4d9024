"""The card says what the hub must know: where the model is from and what its licence forbids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from fedforge_runtime.config import load_run_config
from fedforge_runtime.record.checkpoint import Checkpoint
from fedforge_runtime.record.model_card import model_card
from fedforge_runtime.record.records import ClientRecord, RoundRecord
from fedforge_runtime.sites.settings import RunSettings

DATA = {
    "source": "official",
    "official": True,
    "licence": "CC BY-NC 4.0",
    "fingerprint": "cd" * 32,
    "title": "DermaMNIST",
    "rows": {"train": 10},
}


CLIENT = ClientRecord(
    client=0,
    rows=1201,
    validation_rows=133,
    training_loss=0.5,
    seconds=1.0,
    round_trip_seconds=1.0,
    bytes_sent=1,
    bytes_received=1,
    local_metrics={},
    global_metrics={},
)
ROUND = RoundRecord(
    round=1,
    model_sha256="ab" * 32,
    participants=[0, 1],
    seconds=1.0,
    bytes_sent=2,
    bytes_received=2,
    training_loss=0.5,
    validation_metrics={},
    clients=[CLIENT, CLIENT.model_copy(update={"client": 1, "rows": 77})],
)


def _card(
    settings: RunSettings,
    *,
    data: dict[str, Any] | None = None,
    records: Sequence[RoundRecord] = (),
    **inputs: Any,
) -> ModelCard:
    """The card as the hub's own library reads it."""
    changed = settings.inputs.model_copy(update={"data": DATA | (data or {}), **inputs})
    final = Checkpoint(2, {"classifier.weight": np.zeros((2, 3), np.float32)}, {}, None, list(records))
    text = model_card(replace(settings, inputs=changed), final, {"accuracy": 0.75})
    assert final.model_sha256 in text
    assert "| accuracy | 0.7500 |" in text
    return ModelCard(text)


def test_a_non_commercial_licence_is_in_the_metadata_and_in_the_first_lines(settings: RunSettings) -> None:
    card = _card(settings)
    assert card.data.license == "cc-by-nc-4.0"
    assert card.data.pipeline_tag == "image-classification"
    assert "**Non-commercial use only: the images are under CC BY-NC 4.0" in card.text.split("Run `")[0]
    assert "allows no commercial use" in card.text


def test_a_file_that_states_no_licence_is_held_to_that_of_the_official_archive(settings: RunSettings) -> None:
    stated = "not stated (the official archive: CC BY-NC 4.0)"
    card = _card(settings, data={"source": "local", "official": False, "licence": stated})
    assert card.data.license == "cc-by-nc-4.0"
    assert "Non-commercial use only: the official archive of these images is under CC BY-NC 4.0" in card.text
    assert "taken to apply until the owner of the file says otherwise" in card.text
    assert "not the official archive" in card.text


def test_a_licence_that_asks_for_credit_alone_restricts_nothing_more(settings: RunSettings) -> None:
    card = _card(settings, data={"licence": "CC BY 4.0"})
    assert card.data.license == "cc-by-4.0"
    assert "ommercial" not in card.text
    assert "credit to the authors" in card.text


def test_own_data_of_the_sites_are_named_with_what_these_report(settings: RunSettings) -> None:
    config = load_run_config("derma", options={"federation.site_data": "own"})
    card = _card(replace(settings, config=config), records=[ROUND])
    assert card.data.license == "other"
    assert card.data.to_dict()["license_name"] == "terms-of-the-sites"
    assert "rows as the sites report them: 1,201 (client 0), 77 (client 1)" in card.text
    assert "- scored on: official" in card.text
    assert "is to be agreed with the sites" in card.text
    assert "do not compare with published ones" in card.text
    assert "CC BY-NC 4.0" not in card.text.split("## Licence")[1]
    assert "Non-commercial" not in card.text


def test_generated_images_leave_the_licence_of_the_backbone(settings: RunSettings) -> None:
    card = _card(settings, data={"source": "phantom", "official": False, "licence": "none (generated)"})
    assert card.data.license == "other"
    assert "Phantom data" in card.text


@pytest.mark.parametrize(
    ("name", "trained", "base"),
    [
        ("facebook/deit-tiny-patch16-224", True, "facebook/deit-tiny-patch16-224"),
        ("untrained", False, None),
        ("/models/deit", True, None),
        ("../models/deit", True, None),
    ],
)
def test_only_a_backbone_of_the_hub_is_named_as_the_base(
    settings: RunSettings, name: str, trained: bool, base: str | None
) -> None:
    card = _card(settings, backbone_name=name, backbone_trained=trained)
    assert card.data.base_model == base
    assert ("Untrained backbone" in card.text) is not trained
