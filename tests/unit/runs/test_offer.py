"""What claimants offer is what requests are checked against, in the monitor's shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedforge_runtime.config import PHASES, dotted_items, load_run_config
from fedforge_runtime.data.sources.phantom import generate, generated_labels
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.runs.offer import ClaimantDefaults, named_folders, offer_document
from fedforge_runtime.runs.rehearsal import rehearse
from fedforge_runtime.storage.home import Home
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

    assert (offer.defaults.engine, offer.defaults.sites) == ("superlink", [0, 2])
    assert defaults.options({}) == ["--engine", "superlink", "--superlink", "link.example.org:9092", "--sites", "0,2"]
    assert defaults.options({"runtime.engine": "inprocess", "federation.sites": [1]}) == []


def test_folders_are_offered_by_name_and_no_path_is_said(tmp_path: Path) -> None:
    data = named_folders("--offer-data", [f"lab={tmp_path}"])
    defaults = ClaimantDefaults(data=data, backbones={"deit": tmp_path / "deit"})
    document = offer_document(defaults)

    assert str(tmp_path) not in json.dumps(document)
    asked = {"dataset.source": "lab", "backbone.name": "deit", "federation.rounds": 3}
    assert objection_of(Offer.model_validate(document), RunRequest(phase="blood", overrides=asked)) is None
    located = {"dataset.source": str(tmp_path), "backbone.name": str(tmp_path / "deit"), "federation.rounds": 3}
    assert defaults.completed(asked) == located
    assert defaults.completed({"dataset.source": "phantom"}) == {"dataset.source": "phantom"}


def test_the_environment_says_what_is_taken_where_a_request_says_nothing(tmp_path: Path) -> None:
    variables = {
        "FEDFORGE_SUPERLINK": "superlink:9092",
        "FEDFORGE_ROOT_CERTIFICATES": "/secrets/ca.pem",
        "FEDFORGE_HANDOVER": "/handover",
        "FEDFORGE_DEFAULTS": "partition.clients=3 federation.rounds=5 'dataset.source=auto'",
        "FEDFORGE_DATA": str(tmp_path),
        "FEDFORGE_BACKBONE": "",
    }
    defaults = ClaimantDefaults.of_environment(variables)
    asked = {"federation.rounds": 2}

    place = ["--superlink", "superlink:9092", "--root-certificates", "/secrets/ca.pem", "--handover", "/handover"]
    assert defaults.options(asked) == ["--engine", "superlink", *place]
    assert defaults.options({"runtime.engine": "inprocess"}) == []
    assert defaults.completed(asked) == {
        "partition.clients": 3,
        "federation.rounds": 2,
        "dataset.source": str(tmp_path),
    }
    offer = Offer.model_validate(offer_document(defaults))
    assert offer.defaults.values["derma"]["partition.clients"] == 3
    assert offer.defaults.values["derma"]["dataset.source"] == "local"
    assert [each.name for each in offer.data].count("local") == 1
    assert ClaimantDefaults.of_environment({}) == ClaimantDefaults()


@pytest.mark.parametrize(
    ("name", "value"), [("FEDFORGE_DEFAULTS", "rounds"), ("FEDFORGE_DATA", "/nowhere"), ("FEDFORGE_BACKBONE", "/no/x")]
)
def test_an_environment_that_cannot_be_is_refused_with_what_it_says(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value):
        ClaimantDefaults.of_environment({name: value})


@pytest.mark.parametrize("overrides", [{"dataset.source": "lab"}, {"backbone.name": "lab"}])
def test_a_name_that_is_not_offered_is_no_folder_of_this_machine(
    overrides: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match="is 'lab', and nothing is offered here by that name"):
        ClaimantDefaults().completed(overrides)


def test_what_another_profile_holds_is_what_differs_from_the_first(offer: Offer) -> None:
    assert offer.defaults.by_profile["tuned"]["blood"]["learning.learning_rate"] == 0.01
    for phase in PHASES:
        values = offer.defaults.values[phase] | offer.defaults.by_profile["tuned"][phase]
        assert values == dict(dotted_items(load_run_config(phase, profile="tuned").model_dump(mode="json")))


@pytest.mark.parametrize("given", ["lab", "=/tmp", "official=/tmp", "a b=/tmp", "lab=/nowhere", "lab="])
def test_a_folder_without_a_name_of_its_own_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="--offer-data"):
        named_folders("--offer-data", [given])


def test_the_labels_of_generated_images_are_known_without_drawing_them() -> None:
    arrays = generate("bloodmnist", 28, 240)

    for split, labels in generated_labels("bloodmnist", 28, 240).items():
        assert labels.tolist() == arrays[f"{split}_labels"].ravel().tolist()
