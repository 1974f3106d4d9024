"""What claimants offer is what requests are checked against, in the monitor's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.config import PHASES, dotted_items, load_run_config
from fedforge_runtime.data.phantom import generate, generated_labels
from fedforge_runtime.home import Home
from fedforge_runtime.offer import ClaimantDefaults, offer_document
from fedforge_runtime.rehearsal import rehearse
from monitor.offers import Offer, objection_of
from monitor.schema import RunRequest


@pytest.fixture(scope="module")
def offer() -> Offer:
    return Offer.model_validate(offer_document(ClaimantDefaults(superlink="link.example.org:9092", sites="0,2")))


def test_every_configuration_of_a_phase_can_be_asked_for_key_by_key(offer: Offer) -> None:
    for phase in PHASES:
        values = dict(dotted_items(load_run_config(phase).model_dump(mode="json")))
        assert offer.defaults.values[phase] == values
        asked = {key: value for key, value in values.items() if key not in ("version", "phase", "dataset.flag")}
        assert objection_of(offer, RunRequest(phase=phase, overrides=asked)) is None


@pytest.mark.parametrize(
    "overrides",
    [
        {"partition.name": "shard", "partition.parameters.shards_per_client": 0},
        {"federation.strategy.name": "krum", "federation.strategy.parameters.num_malicious_nodes": 0.5},
        {"partition.name": "size", "partition.parameters.sizes": [100, 0]},
        {"learning.epoch": 2},
        {"runtime.engine": "rays"},
    ],
)
def test_what_an_offer_excludes_the_run_would_refuse_too(
    offer: Offer, overrides: dict[str, object], tmp_path: Path
) -> None:
    request = RunRequest.model_validate({"phase": "blood", "overrides": overrides})

    assert objection_of(offer, request) is not None
    assert rehearse(request.model_dump(mode="json"), Home(tmp_path))["valid"] is False


def test_defaults_are_for_what_a_request_leaves_open(offer: Offer) -> None:
    defaults = ClaimantDefaults(superlink="link.example.org:9092", sites="0,2")

    assert (offer.defaults.engine, offer.defaults.sites) == ("superlink", ["0", "2"])
    assert defaults.options({}) == ["--engine", "superlink", "--superlink", "link.example.org:9092", "--sites", "0,2"]
    assert defaults.options({"runtime.engine": "inprocess", "federation.sites": [1]}) == []


def test_the_labels_of_generated_images_are_known_without_drawing_them() -> None:
    arrays = generate("bloodmnist", 28, 240)

    for split, labels in generated_labels("bloodmnist", 28, 240).items():
        assert labels.tolist() == arrays[f"{split}_labels"].ravel().tolist()
