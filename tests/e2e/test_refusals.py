"""What cannot be done is refused in one clear line, in good time, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.storage.artifacts import MANIFEST
from tests.e2e.command import fedforge, hold_training, refusal, tree_of
from tests.e2e.forked import forked, forked_running
from tests.support.bad_link import BadLink

A_FEW = 3
"""Connections to who does not answer: more would keep a user waiting."""

Arrays = dict[str, Any]


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    """A home that does not exist, and must not exist afterwards either."""
    folder = tmp_path / "home"
    yield folder
    assert not folder.exists(), tree_of(folder)


@pytest.fixture
def asset_home(tmp_path: Path) -> Iterator[Path]:
    """A home in which a refused command may leave finished artifacts, which the next one uses, and nothing else."""
    folder = tmp_path / "home"
    yield folder
    finished = {each.parent for each in folder.glob(f"assets/*/*/{MANIFEST}")}
    for path in folder.rglob("*"):
        is_finished = path in finished or not finished.isdisjoint(path.parents)
        is_above = path.parent in (folder, folder / "assets") and path.is_dir()
        is_lock = path.suffix == ".lock" and path.stat().st_size == 0
        assert is_finished or is_above or is_lock, path


@pytest.fixture(scope="session")
def archive() -> Arrays:
    """The six arrays of a small, valid archive."""
    return dict(generate("bloodmnist", 28, 120))


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


# Options and configurations


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["blod"], ["unknown phase 'blod'", "'blood'"], id="phase"),
        pytest.param(["blood", "--profile", "tunde"], ["unknown profile 'tunde'", "'tuned'"], id="profile"),
        pytest.param(["blood", "--set", "learning.epoch=3"], ["'learning.epoch'", "'epochs'"], id="key"),
        pytest.param(["blood", "--set", "learnin.epochs=3"], ["'learnin'", "'learning'"], id="section"),
        pytest.param(["blood", "--set", "learning.epochs=many"], ["learning.epochs", "'many'"], id="type"),
        pytest.param(["blood", "--set", "learning.epochs"], ["'learning.epochs' is not KEY=VALUE"], id="no-value"),
        pytest.param(["blood", "--set", "seed=[1"], ["--set seed", "not valid YAML"], id="not-yaml"),
        pytest.param(["blood", "--partition", "dirichlett"], ["unknown partition", "'dirichlet'"], id="partition"),
        pytest.param(
            ["blood", "--set", "partition.name=idd"], ["unknown partition 'idd'", "'iid'"], id="set-partition-name"
        ),
        pytest.param(["blood", "--partition", "dirichlet:0"], ["alpha", "above 0"], id="alpha-0"),
        pytest.param(["blood", "--set", "partition.parameters.alpha=0"], ["alpha", "above 0"], id="set-alpha-0"),
        pytest.param(["blood", "--engine", "rya"], ["unknown engine 'rya'", "'ray'"], id="engine"),
        pytest.param(["blood", "--strategy", "fedavgg"], ["unknown strategy 'fedavgg'", "'fedavg'"], id="strategy"),
        pytest.param(["blood", "--clients", "0"], ["partition.clients", "not 0"], id="no-clients"),
        pytest.param(["blood", "--rounds", "-1"], ["federation.rounds", "not -1"], id="negative-rounds"),
        pytest.param(["blood", "--clients", "1"], ["minimum_clients is 2", "1 take part"], id="too-few-clients"),
        pytest.param(["blood", "--run-id", "../x"], ["'../x'", "not a plain name"], id="run-id-above"),
        pytest.param(["blood", "--run-id", "a/b"], ["'a/b'", "not a plain name"], id="run-id-below"),
        pytest.param(["blood", "--data", "no-such-folder"], ["no-such-folder does not exist"], id="data"),
        pytest.param(["blood", "--backbone", "no-such-folder"], ["no-such-folder does not exist"], id="backbone"),
        pytest.param(["blood", "--config", "absent.yaml"], ["absent.yaml", "No such file"], id="config"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(
    arguments: list[str], words: list[str], empty_home: Path
) -> None:
    source = [] if "--data" in arguments else ["--data", "phantom"]
    reason = refusal(forked("run", *arguments, *source, "--home", empty_home))
    assert all(word in reason for word in words), reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("learning: {epoch: 3}", ["'learning.epoch'", "'epochs'"], id="key"),
        pytest.param("learning: {epochs: 3", ["config.yaml is not valid YAML"], id="not-yaml"),
        pytest.param("- 3", ["must be a mapping"], id="list"),
        pytest.param("phase: derma\ndataset: {flag: dermamnist}", ["for phase 'derma', not 'blood'"], id="other-phase"),
    ],
)
def test_a_wrong_configuration_file_is_named_with_its_fault(
    text: str, words: list[str], empty_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    reason = refusal(forked("run", "blood", "--config", file, "--data", "phantom", "--home", empty_home))
    assert all(word in reason for word in words), reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("rounds", ["Invalid JSON"], id="not-json"),
        pytest.param('{"round": {}}', ["cannot use"], id="not-a-record"),
        pytest.param('{"rounds": {"1": [0, 1]}}', ["no participants for round 2"], id="too-few-rounds"),
        pytest.param('{"rounds": {"1": [0, 1], "2": [0, 7]}}', ["the clients [7]", "0 to 2"], id="unknown-client"),
    ],
)
def test_a_wrong_participants_file_is_named_with_its_fault(
    text: str, words: list[str], empty_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "participants.json"
    file.write_text(text)
    options = ["--participants", file, "--clients", 3, "--rounds", 2, "--data", "phantom", "--home", empty_home]
    reason = refusal(forked("run", "blood", *options))
    assert str(file) in reason
    assert all(word in reason for word in words), reason


# Images


def _truncated(folder: Path, arrays: Arrays) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    (folder / "bloodmnist.npz").write_bytes(stream.getvalue()[:-5000])


def _altered(**changes: Any) -> Callable[[Path, Arrays], None]:
    def write(folder: Path, arrays: Arrays) -> None:
        np.savez_compressed(folder / "bloodmnist.npz", **{**arrays, **changes})

    return write


@pytest.mark.parametrize(
    ("write", "words"),
    [
        pytest.param(_truncated, ["cut short or damaged"], id="truncated"),
        pytest.param(
            _altered(train_images=np.array([{"a": 1}, "b"], dtype=object)), ["train_images", "pickled"], id="pickled"
        ),
        pytest.param(
            _altered(val_images=np.zeros((12, 64, 64, 3), np.uint8)), ["val_images", "(12, 64, 64, 3)"], id="shape"
        ),
        pytest.param(_altered(test_labels=np.full((24, 1), 8)), ["test_labels", "holds 8", "0 to 7"], id="label"),
        pytest.param(lambda folder, arrays: None, ["bloodmnist.npz does not exist"], id="no-archive"),
    ],
)
def test_a_wrong_archive_is_named_with_its_fault(
    write: Callable[[Path, Arrays], None],
    words: list[str],
    archive: Arrays,
    data_folder: Path,
    empty_home: Path,
    tiny_backbone: Path,
) -> None:
    write(data_folder, archive)
    before = tree_of(data_folder)
    options = ["--data", data_folder, "--backbone", tiny_backbone, "--home", empty_home]
    reason = refusal(forked("run", "blood", *options))
    assert str(data_folder / "bloodmnist.npz") in reason
    assert all(word in reason for word in words), reason
    assert tree_of(data_folder) == before


def test_an_official_archive_with_a_wrong_checksum_is_moved_aside(archive: Arrays, tmp_path: Path) -> None:
    final = tmp_path / "data" / "medmnist" / "bloodmnist.npz"
    final.parent.mkdir(parents=True)
    np.savez_compressed(final, **archive)
    size = final.stat().st_size
    reason = refusal(forked("run", "blood", "--data", "official", "--backbone", "untrained", "--home", tmp_path))
    assert "MD5" in reason
    assert "bloodmnist.npz.broken" in reason
    files = {path: size for path, size in tree_of(tmp_path).items() if (tmp_path / path).is_file()}
    assert files == {"data/medmnist/bloodmnist.npz.broken": size}


def test_more_clients_than_rows_are_refused(asset_home: Path, tiny_backbone: Path) -> None:
    options = ["--data", "phantom", "--set", "dataset.limit=120", "--backbone", tiny_backbone, "--home", asset_home]
    reason = refusal(forked("run", "blood", "--clients", 500, *options))
    assert "500 clients cannot share 72 rows" in reason


# The network


def test_an_archive_that_cannot_be_reached_is_tried_a_few_times_and_refused(empty_home: Path, closed_port: int) -> None:
    with BadLink(closed_port) as proxy:
        proxy.reset()
        outcome = fedforge(
            *("run", "blood", "--data", "official", "--backbone", "untrained", "--home", empty_home),
            environment={"https_proxy": proxy.url, "http_proxy": proxy.url, "no_proxy": ""},
        )
    assert 0 < proxy.connections <= A_FEW
    reason = refusal(outcome)
    assert "BloodMNIST cannot be downloaded" in reason
    assert "--data phantom" in reason


def test_a_hub_that_cannot_be_reached_is_tried_a_few_times_and_refused(asset_home: Path, closed_port: int) -> None:
    options = ["--data", "phantom", "--set", "dataset.limit=120", "--clients", 3, "--home", asset_home]
    with BadLink(closed_port) as hub:
        hub.reset()
        outcome = fedforge(
            *("run", "blood", *options, "--backbone", "facebook/deit-tiny-patch16-224"),
            environment={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"},
        )
    assert 0 < hub.connections <= A_FEW
    reason = refusal(outcome)
    assert "'facebook/deit-tiny-patch16-224' cannot be downloaded" in reason
    assert "untrained" in reason


# The backbone


def _remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncate_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _change_model_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "resnet"}))


def _break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(shutil.rmtree, ["does not exist"], id="missing"),
        pytest.param(_remove_weights, ["no model.safetensors"], id="no-weights"),
        pytest.param(_truncate_weights, ["model.safetensors cannot be read"], id="truncated"),
        pytest.param(_change_model_type, ["'resnet', not 'vit'"], id="other-type"),
        pytest.param(_break_config, ["config.json is not valid JSON"], id="broken-config"),
    ],
)
def test_a_folder_that_is_no_backbone_is_named_with_its_fault(
    spoil: Callable[[Path], None], words: list[str], tiny_backbone: Path, empty_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(tiny_backbone, folder)
    spoil(folder)
    reason = refusal(forked("run", "blood", "--data", "phantom", "--backbone", folder, "--home", empty_home))
    assert str(folder) in reason
    assert all(word in reason for word in words), reason


# Runs


@pytest.mark.parametrize("command", ["show", "resume"])
def test_a_run_that_does_not_exist_is_refused_with_the_nearest(
    command: str, undisturbed: dict[str, Any], home: Path
) -> None:
    reason = refusal(forked(command, "undisturbd", "--home", home))
    assert "no run 'undisturbd'" in reason
    assert "'undisturbed'" in reason


def test_a_finished_run_is_neither_started_again_nor_resumed(
    undisturbed: dict[str, Any], small: Sequence[str], home: Path
) -> None:
    before = tree_of(home)
    assert "exists already" in refusal(forked("run", "blood", *small, "--run-id", "undisturbed"))
    assert "is finished" in refusal(forked("resume", "undisturbed", "--home", home))
    assert tree_of(home) == before


def test_a_model_is_not_exported_over_other_files(undisturbed: dict[str, Any], home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "not an empty folder" in refusal(forked("export", "undisturbed", tmp_path, "--home", home))
    assert "not an empty folder" in refusal(forked("export", "undisturbed", tmp_path / "notes.txt", "--home", home))
    assert tree_of(tmp_path) == {"notes.txt": 4}


def test_a_resumed_run_keeps_its_configuration(undisturbed: dict[str, Any], home: Path) -> None:
    reason = refusal(forked("resume", "undisturbed", "--set", "learning.epochs=9", "--home", home))
    assert "keeps its configuration" in reason


def test_a_running_run_is_left_alone_by_others(
    small: Sequence[str], undisturbed: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    with forked_running("run", "blood", *small, "--run-id", "busy", "--json") as command:
        worker, _ = hold_training(home / "runs" / "busy" / "events.jsonl", 1)

        assert "exists already" in refusal(forked("run", "blood", *small, "--run-id", "busy"))
        assert "executed by another process" in refusal(forked("resume", "busy", "--home", home))
        assert "no model yet" in refusal(forked("export", "busy", tmp_path / "model", "--home", home))
        assert forked("show", "busy", "--home", home, "--json").json["state"] == "running"

        worker.resume()
        outcome = command.wait()
    assert outcome.code == 0, outcome.errors
    assert outcome.json["model_sha256"] == undisturbed["model_sha256"]
    assert not (tmp_path / "model").exists()
