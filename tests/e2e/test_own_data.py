"""A federation of sites that bring their own data: nothing at them but `fedforge node --data DIR`."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fedforge_runtime.config import RuntimeConfig, change_run_config, read_run_config
from fedforge_runtime.data.audit.search import find_features, open_features
from fedforge_runtime.data.features.caches import load_features
from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.errors import ConfigError, DataError, FedForgeError, RunFailedError, RunStoppedError
from fedforge_runtime.record.summary import summarise_run
from fedforge_runtime.runs.run import resume_run, start_run
from fedforge_runtime.sites.class_counts import said_counts
from fedforge_runtime.sites.shards import Shard, open_shard
from fedforge_runtime.storage.artifacts import Artifact, read_json
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.emitter import read_events
from fedforge_runtime.telemetry.narration import Narrator
from monitor.schema import NodeError, RoundStarted, RunRequest, SiteDescribed
from tests.e2e.command import Outcome, fedforge, wait_until
from tests.e2e.conftest import ROWS
from tests.e2e.forked import forked, forked_running
from tests.support.html_page import HtmlPage
from tests.support.listener import Listener
from tests.support.wire import (
    Conversation,
    Exchange,
    ModelShapes,
    Secrets,
    check_question,
    decode,
    kind_of_answer,
    leaks,
    recording_proxy,
)

TRAIN_ROWS = (101, 151, 211)
"""Of each site's archive: lengths that no array of the model has, and neither have the parts of them."""
OTHER_ROWS = 43
"""Of its other splits."""
SITES = len(TRAIN_ROWS)
ROUNDS = 3
FEATURES, CLASSES = 32, 8


@dataclass(frozen=True)
class OwnData:
    """What was run, and all that went over the wire meanwhile."""

    first: Outcome
    """Of the run `first` by the command; the others were started from Python."""
    refusal: FedForgeError
    """Of the run `other`, whose backbone is not the sites'."""
    elsewhere: FedForgeError
    """Of the run `stopped`, when it was to go on without the sites."""
    home: Home
    shards: list[Shard]
    exchanges: list[Exchange]
    talk: Conversation

    def result(self, name: str) -> dict[str, Any]:
        return summarise_run(self.home.run(name))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder with an archive for each site, no image in two of them."""
    images = generate("bloodmnist", 28, 1400)
    folder = tmp_path_factory.mktemp("hospitals")
    others = np.arange(SITES + 1) * OTHER_ROWS
    starts = {"train": np.cumsum([0, *TRAIN_ROWS]), "val": others, "test": others}
    folders = []
    for site in range(SITES):
        arrays = {
            f"{split}_{what}": images[f"{split}_{what}"][start[site] : start[site + 1]]
            for split, start in starts.items()
            for what in ("images", "labels")
        }
        folders.append(folder / f"hospital-{site}")
        folders[-1].mkdir()
        np.savez_compressed(folders[-1] / "bloodmnist.npz", **arrays)
    return folders


@pytest.fixture(scope="module")
def other_backbone(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, but for one number."""
    folder = shutil.copytree(tiny_backbone, tmp_path_factory.mktemp("other") / "other-vit")
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.cls_token"][0, 0, 0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def own_data(
    archives: list[Path], tiny_backbone: Path, other_backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnData]:
    folder = tmp_path_factory.mktemp("own-data")
    home = Home(folder / "server")
    with ExitStack() as stack:
        proxy = stack.enter_context(recording_proxy())
        for site, archive in enumerate(archives):
            own = ("--data", archive, "--phase", "blood", "--backbone", tiny_backbone)
            where = ("--superlink", proxy.address, "--site", site, "--home", folder / f"site-{site}")
            stack.enter_context(forked_running("node", *where, *own))
        stack.callback(fedforge, "federation", "down", "--home", home.root)
        up = fedforge("federation", "up", "--nodes", "0", "--port", "0", "--home", home.root, "--json")
        assert up.code == 0, up.errors
        proxy.superlink = up.json["address"]
        first = forked(
            *("run", "blood", "--run-id", "first", "--home", home.root, "--data", "phantom"),
            *("--backbone", tiny_backbone, "--clients", SITES, "--rounds", ROUNDS, "--set", f"dataset.limit={ROWS}"),
            *("--superlink", proxy.superlink, "--site-data", "own", "--json"),
        )
        assert first.code == 0, first.errors

        def run(name: str, *assignments: str, narrator: Narrator | None = None, replayed: Path | None = None) -> None:
            document = read_run_config(home.run("first").config).model_dump(mode="json")
            start_run(
                change_run_config(document, {}, assignments),
                home=home,
                run_id=name,
                request=RunRequest(phase="blood"),
                narrator=narrator or Listener(),
                participants_file=replayed,
            )

        run("again", replayed=home.run("first").participants)
        run("warm", "federation.warm_start=closed_form")
        with pytest.raises(FedForgeError) as refusal:
            run("other", f"backbone.name={other_backbone}")
        with pytest.raises(RunStoppedError):
            run("stopped", narrator=Impatient())
        with pytest.raises(FedForgeError) as elsewhere:
            resume_run("stopped", home=home, narrator=Listener(), runtime=RuntimeConfig())
        resume_run("stopped", home=home, narrator=Listener())
        shards = [open_shard(next((folder / f"site-{site}").glob("assets/shard/*/site-*"))) for site in range(SITES)]
        exchanges = proxy.exchanges
        yield OwnData(first, refusal.value, elsewhere.value, home, shards, exchanges, decode(exchanges))


class Impatient(Listener):
    """Presses Ctrl-C as soon as a round is done."""

    def rounds(self, folder: RunFolder) -> AbstractContextManager[None]:
        def watch() -> None:
            wait_until(lambda: folder.rounds.exists() and folder.rounds.read_text(), "a round")
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=watch, daemon=True).start()
        return nullcontext()


def test_a_run_over_the_sites_own_data_completes_and_its_records_say_what_they_hold(own_data: OwnData) -> None:
    result = own_data.first.json

    assert (result["state"], result["site_data"]) == ("completed", "own")
    assert [client["client"] for client in result["clients"]] == list(range(SITES))
    for client, shard, rows in zip(result["clients"], own_data.shards, TRAIN_ROWS, strict=True):
        assert (client["rows"], client["validation_rows"]) == (shard.train_rows, shard.validation_rows)
        assert shard.train_rows + shard.validation_rows == rows
    assert result["metrics"]["accuracy"] > 0


def test_the_same_seed_over_the_same_data_gives_the_same_model_also_after_a_stop(own_data: OwnData) -> None:
    names = ("first", "again", "stopped", "warm")
    first, again, resumed, warm = (own_data.result(name)["model_sha256"] for name in names)

    assert first == again == resumed != warm
    assert own_data.result("stopped")["attempt"] == 2


def test_a_run_over_own_data_does_not_go_on_without_the_sites(own_data: OwnData) -> None:
    assert isinstance(own_data.elsewhere, ConfigError)
    assert "only a federation of theirs reaches them" in str(own_data.elsewhere)


def test_a_run_over_own_data_claims_nothing_of_the_servers_training_split(own_data: OwnData) -> None:
    folder, assets = own_data.home.run("first"), own_data.home.assets
    inputs, manifest, metrics = (read_json(file) for file in (folder.inputs, folder.manifest, folder.metrics))

    assert not (assets / "partition").exists()
    assert not (assets / "shard").exists()
    assert inputs["partition"] is None
    assert "partition" not in inputs["keys"]
    assert set(metrics["data"]["rows"]) == set(manifest["inputs"]["data"]["rows"]) == {"validation", "test"}
    assert manifest["config"]["partition"]["name"] == "none"
    for features in (assets / "features").glob("*/manifest.json"):
        assert set(read_json(features)["facts"]["rows"]) == {"validation", "test"}
    assert "Bounds are left out: they need the rows of all sites" in own_data.first.errors
    assert not folder.bounds.exists()

    text = HtmlPage(folder.report.read_text()).text
    assert "Each site's own data. The server has seen none of it" in text
    assert "There are none: they would need the rows of all sites" in text
    card = (folder.model / "README.md").read_text()
    rows = ", ".join(f"{shard.train_rows} (client {site})" for site, shard in enumerate(own_data.shards))
    assert f"each site's own data, which never left it; rows as the sites report them: {rows}" in card


def test_features_of_the_central_splits_alone_are_not_taken_for_those_of_all_images(own_data: OwnData) -> None:
    keys = read_json(own_data.home.run("first").inputs)["keys"]
    assets = own_data.home.assets
    dataset = Artifact("dataset", keys["dataset"], assets / "dataset" / keys["dataset"], created=False)

    assert find_features(dataset, own_data.home, "tiny-vit") is None
    with pytest.raises(DataError, match="not those of all images"):
        open_features(assets / "features" / keys["features"], dataset)


def test_each_site_says_once_an_attempt_how_many_rows_its_classes_have_and_no_small_count(
    own_data: OwnData, archives: list[Path]
) -> None:
    described = [event for event in read_events(own_data.home.run("first").events) if isinstance(event, SiteDescribed)]

    assert sorted((event.node_id, event.role) for event in described) == [
        (f"client-{site}", "client") for site in range(SITES)
    ]
    for event in described:
        site = int(event.node_id.removeprefix("client-"))
        labels = np.load(archives[site] / "bloodmnist.npz")["train_labels"].ravel()
        assert event.rows + event.validation_rows == TRAIN_ROWS[site]
        assert event.rows_per_class == said_counts(np.bincount(labels, minlength=CLASSES).tolist())


def test_a_run_that_the_sites_data_do_not_fit_is_refused_before_its_first_round(own_data: OwnData) -> None:
    assert isinstance(own_data.refusal, RunFailedError)
    for site in range(SITES):
        reason = f"client {site} cannot take part: the data of site {site} do not fit the run: they were made ready"
        assert f"{reason} with another backbone, tiny-vit." in str(own_data.refusal)
    assert "Start this site's node anew with the run's --phase, --backbone" in str(own_data.refusal)
    events = read_events(own_data.home.run("other").events)
    told = {event.node_id: event.reason for event in events if isinstance(event, NodeError)}
    assert sorted(told) == [f"client-{site}" for site in range(SITES)]
    assert "the data of site 1 do not fit the run" in told["client-1"]
    assert not any(isinstance(event, RoundStarted) for event in events)


def test_nothing_but_weights_sums_and_metrics_leaves_a_site(own_data: OwnData) -> None:
    parameters = {"classifier.weight": (CLASSES, FEATURES), "classifier.bias": (CLASSES,)}
    shapes = ModelShapes(parameters, FEATURES, CLASSES)
    secrets = {site: Secrets.of(shard) for site, shard in enumerate(own_data.shards)}
    for site, secret in secrets.items():
        assert not secret.row_counts & shapes.dimensions
        features, _ = load_features(Path(own_data.shards[site].inputs.features or ""), "train")
        assert all(secret.found_in(row.tobytes()) for row in features)

    kinds = {kind_of_answer(content, shapes) for content in own_data.talk.said}
    for question in own_data.talk.heard:
        check_question(question, shapes)

    assert kinds == {"identity", "misfit", "sums", "moments", "update", "evaluation"}
    assert own_data.talk.failures == []
    assert leaks(own_data.exchanges, secrets) == []
