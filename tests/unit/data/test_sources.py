"""Every source becomes one dataset, and says what it is."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedforge_runtime.config import DatasetConfig
from fedforge_runtime.data.sources.datasets import (
    SPLITS,
    DatasetFacts,
    load_dataset,
    load_labels,
    prepare_dataset,
    read_dataset_facts,
)
from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.errors import DataError, StorageError
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, sha256_file
from fedforge_runtime.storage.home import Home

ARCHIVE_SPLIT = {"train": "train", "validation": "val", "test": "test"}
ArchiveFolder = Callable[..., Path]


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def prepare(store: ArtifactStore, notices: list[str]) -> Callable[..., Artifact]:
    def run(source: Path | str, **config: Any) -> Artifact:
        chosen = DatasetConfig(**{"flag": "bloodmnist", "source": str(source), **config})
        return prepare_dataset(chosen, store=store, notify=notices.append)

    return run


def pixels(artifact: Artifact, split: str) -> np.ndarray:
    return np.stack([np.asarray(image) for image in load_dataset(artifact)[split]["image"]])


def assert_nothing_was_made(home: Home) -> None:
    left = [path for path in home.root.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert left == []
    assert list(home.assets.glob("*/.*.partial")) == []


# A folder


def test_pixels_and_labels_come_back_exactly(
    prepare: Callable, archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    artifact = prepare(archive_folder())
    dataset = load_dataset(artifact)
    assert list(dataset) == list(SPLITS)
    for split, name in ARCHIVE_SPLIT.items():
        labels = blood_arrays[f"{name}_labels"].ravel()
        assert np.array_equal(pixels(artifact, split), blood_arrays[f"{name}_images"])
        assert dataset[split]["label"][:] == labels.tolist()
        assert np.array_equal(load_labels(artifact, split), labels)
        assert load_labels(artifact, split).dtype == np.int64


def test_the_features_are_images_and_named_classes(prepare: Callable, archive_folder: ArchiveFolder) -> None:
    import datasets

    artifact = prepare(archive_folder())
    features = load_dataset(artifact)["validation"].features
    assert isinstance(features["image"], datasets.Image)
    assert features["label"].names[:2] == ["basophil", "eosinophil"]
    assert tuple(features["label"].names) == read_dataset_facts(artifact).class_names


def test_a_local_file_is_recorded_as_unofficial(
    prepare: Callable, archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    folder = archive_folder()
    facts = read_dataset_facts(prepare(folder))
    assert (facts.source, facts.official) == ("local", False)
    assert facts.file_sha256 == sha256_file(folder / "bloodmnist.npz")
    assert facts.rows == {split: len(blood_arrays[f"{name}_labels"]) for split, name in ARCHIVE_SPLIT.items()}
    assert (facts.flag, facts.size, facts.title) == ("bloodmnist", 28, "BloodMNIST")
    assert facts.licence == "not stated (the official archive: CC BY 4.0)"
    assert DatasetFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_the_fingerprint_is_of_the_flag_the_images_and_the_labels(
    prepare: Callable, archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    digest = hashlib.sha256(b"bloodmnist")
    for name in ARCHIVE_SPLIT.values():
        digest.update(blood_arrays[f"{name}_images"].tobytes())
        digest.update(blood_arrays[f"{name}_labels"].astype("<i8").tobytes())
    assert read_dataset_facts(prepare(archive_folder())).fingerprint == digest.hexdigest()


def test_a_local_folder_with_the_published_file_is_official(prepare: Callable, publisher: Any, tmp_path: Path) -> None:
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "bloodmnist.npz").write_bytes(publisher.body)
    artifact = prepare(tmp_path / "copied")
    facts = read_dataset_facts(artifact)
    assert (facts.source, facts.official) == ("official", True)
    assert publisher.requests == 0
    assert prepare("official").path == artifact.path


def test_the_same_file_in_another_folder_is_the_same_artifact(
    prepare: Callable, archive_folder: ArchiveFolder, tmp_path: Path
) -> None:
    folder = archive_folder()
    first = prepare(folder)
    shutil.copytree(folder, tmp_path / "moved")
    second = prepare(tmp_path / "moved")
    assert (first.created, second.created) == (True, False)
    assert first.path == second.path


def test_a_changed_file_is_another_artifact(
    prepare: Callable, archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    first = prepare(archive_folder())
    images = blood_arrays["train_images"].copy()
    images[0, 0, 0, 0] ^= 1
    second = prepare(archive_folder(train_images=images))
    assert first.key != second.key
    assert read_dataset_facts(first).fingerprint != read_dataset_facts(second).fingerprint


def test_the_archive_of_another_size_has_another_name(prepare: Callable, archive_folder: ArchiveFolder) -> None:
    arrays = generate("bloodmnist", 64, 72)
    artifact = prepare(archive_folder("bloodmnist_64.npz", **arrays), size=64)
    assert read_dataset_facts(artifact).size == 64
    assert np.array_equal(pixels(artifact, "test"), arrays["test_images"])


def test_equal_inputs_give_equal_bytes(prepare: Callable, archive_folder: ArchiveFolder, store: ArtifactStore) -> None:
    folder = archive_folder()
    first = prepare(folder)
    files = first.manifest["files"]
    shutil.rmtree(first.path)
    second = prepare(folder)
    assert second.created
    assert second.manifest["files"] == files


def test_a_folder_that_is_not_there_is_refused(prepare: Callable, tmp_path: Path, home: Home) -> None:
    with pytest.raises(DataError, match=f"data folder {tmp_path}/nowhere does not exist") as caught:
        prepare(tmp_path / "nowhere")
    assert "bloodmnist.npz" in caught.value.remedy
    assert "phantom" in caught.value.remedy
    assert not home.root.exists()


def test_a_file_in_place_of_a_folder_is_refused(prepare: Callable, archive_folder: ArchiveFolder) -> None:
    with pytest.raises(DataError, match=r"bloodmnist\.npz is not a folder"):
        prepare(archive_folder() / "bloodmnist.npz")


def test_a_folder_without_the_archive_lists_what_it_holds(
    prepare: Callable, archive_folder: ArchiveFolder, home: Home
) -> None:
    with pytest.raises(DataError, match=r"dermamnist\.npz does not exist; the folder holds bloodmnist\.npz"):
        prepare(archive_folder(), flag="dermamnist")
    with pytest.raises(DataError, match=r"bloodmnist_224\.npz does not exist"):
        prepare(archive_folder(), size=224)
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_labels": None}, "test_labels is missing"),
        ({"val_images": np.zeros((20, 28, 28, 3))}, "val_images is float64, expected uint8"),
        ({"train_images": np.zeros((9, 28, 28), np.uint8)}, "train_images has shape"),
        ({"train_labels": np.zeros((9, 1), np.uint8)}, "train_labels has shape"),
        ({"test_labels": np.full((24, 1), 8)}, "test_labels holds 8 in row 0"),
        ({"train_labels": np.array([[None]])}, "train_labels holds pickled"),
    ],
)
def test_a_wrong_archive_is_one_error_and_leaves_nothing(
    prepare: Callable, archive_folder: ArchiveFolder, home: Home, changes: dict, complaint: str
) -> None:
    folder = archive_folder(**changes)
    with pytest.raises(DataError, match=complaint) as caught:
        prepare(folder)
    assert str(folder / "bloodmnist.npz") in caught.value.message
    assert not home.root.exists()


def test_damaged_image_data_leave_no_artifact(prepare: Callable, archive_folder: ArchiveFolder, home: Home) -> None:
    folder = archive_folder()
    content = bytearray((folder / "bloodmnist.npz").read_bytes())
    content[2_000] ^= 1  # Inside the first member, the training images.
    (folder / "bloodmnist.npz").write_bytes(content)
    for limit in (None, 40):
        with pytest.raises(DataError, match=r"cut short or damaged \(train_images"):
            prepare(folder, limit=limit)
    assert_nothing_was_made(home)


def test_a_full_disk_is_a_storage_error_and_leaves_no_artifact(
    prepare: Callable, archive_folder: ArchiveFolder, home: Home
) -> None:
    folder = archive_folder()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot write below"):
            prepare(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_nothing_was_made(home)


# A limit


def test_a_limit_draws_rows_in_proportion_and_in_their_order(
    prepare: Callable, archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    folder = archive_folder()
    artifact = prepare(folder, limit=60)
    facts = read_dataset_facts(artifact)
    assert sum(facts.rows.values()) == 60
    for split, name in ARCHIVE_SPLIT.items():
        originals = [image.tobytes() for image in blood_arrays[f"{name}_images"]]
        places = [originals.index(image.tobytes()) for image in pixels(artifact, split)]
        assert places == sorted(places)
        assert np.array_equal(load_labels(artifact, split), blood_arrays[f"{name}_labels"].ravel()[places])
        assert set(load_labels(artifact, split)) == set(range(8))
    whole = read_dataset_facts(prepare(folder))
    assert facts.fingerprint != whole.fingerprint
    assert facts.file_sha256 == whole.file_sha256


def test_a_limit_above_the_number_of_rows_changes_no_row(prepare: Callable, archive_folder: ArchiveFolder) -> None:
    folder = archive_folder()
    all_rows, limited = read_dataset_facts(prepare(folder)), read_dataset_facts(prepare(folder, limit=5_000))
    assert limited.fingerprint == all_rows.fingerprint


# The official archive


def test_the_official_archive_is_downloaded_once_and_recorded(
    prepare: Callable, publisher: Any, notices: list[str], blood_arrays: dict[str, np.ndarray]
) -> None:
    artifact = prepare("official")
    facts = read_dataset_facts(artifact)
    assert (facts.source, facts.official, facts.title) == ("official", True, "BloodMNIST")
    assert facts.file_sha256 == hashlib.sha256(publisher.body).hexdigest()
    assert np.array_equal(pixels(artifact, "test"), blood_arrays["test_images"])
    assert len(notices) == 1

    publisher.close()
    again = prepare("auto")
    assert (again.created, again.path) == (False, artifact.path)
    assert sum(read_dataset_facts(prepare("official", limit=50)).rows.values()) == 50
    assert len(notices) == 1


@pytest.mark.parametrize("source", ["official", "auto"])
def test_a_file_with_another_checksum_is_moved_aside_and_fetched_anew(
    prepare: Callable, publisher: Any, home: Home, source: str, notices: list[str]
) -> None:
    prepare(source)
    file = home.data / "bloodmnist.npz"
    file.write_bytes(publisher.body[:-1])
    with pytest.raises(DataError, match="is not the published BloodMNIST") as caught:
        prepare(source)
    assert "Run the command again" in caught.value.remedy
    assert not file.exists()
    prepare(source)
    assert file.read_bytes() == publisher.body
    assert not any("hantom" in notice for notice in notices)


@pytest.mark.parametrize("source", ["official", "auto"])
def test_a_wrong_or_short_download_is_an_error_and_never_replaced_by_phantoms(
    prepare: Callable, publisher: Any, home: Home, source: str
) -> None:
    whole = publisher.body

    def give_only_once() -> None:
        publisher.bytes_sent = 0 if publisher.ranges[-1][0] else len(whole) - 1_000

    publisher.on_transfer = give_only_once
    with pytest.raises(DataError, match="broke off"):
        prepare(source)
    publisher.on_transfer = lambda: None
    publisher.bytes_sent, publisher.body = None, whole[:-1] + b"!"
    with pytest.raises(DataError, match="altered"):
        prepare(source)
    assert_nothing_was_made(home)


def test_without_a_network_official_says_what_to_do(
    prepare: Callable, publisher: Any, home: Home, notices: list[str]
) -> None:
    publisher.close()
    with pytest.raises(DataError, match=r"cannot be downloaded from 127\.0\.0\.1") as caught:
        prepare("official")
    assert "--data phantom" in caught.value.remedy
    assert not home.root.exists()
    assert notices == []


def test_without_a_network_auto_takes_phantoms_and_says_so(
    prepare: Callable, publisher: Any, notices: list[str]
) -> None:
    publisher.close()
    artifact = prepare("auto", limit=100)
    assert read_dataset_facts(artifact).source == "phantom"
    assert len(notices) == 1
    assert "Phantom images" in notices[0]
    assert "Connection refused" in notices[0]
    assert not prepare("auto", limit=100).created
    assert len(notices) == 2


# Phantom images


def test_phantom_images_are_recorded_as_such(prepare: Callable, notices: list[str]) -> None:
    artifact = prepare("phantom", limit=100)
    facts = read_dataset_facts(artifact)
    assert (facts.source, facts.official, facts.file_sha256) == ("phantom", False, None)
    assert facts.title == "phantom images in the format of BloodMNIST"
    assert facts.licence == "none (generated)"
    assert sum(facts.rows.values()) == 100
    assert np.array_equal(pixels(artifact, "train"), generate("bloodmnist", 28, 100)["train_images"])
    assert notices == []


def test_two_thousand_phantom_images_are_the_default(prepare: Callable) -> None:
    artifact = prepare("phantom", flag="pathmnist")
    assert read_dataset_facts(artifact).rows == {"train": 1_400, "validation": 200, "test": 400}


def test_too_few_phantom_images_for_the_classes_are_refused(prepare: Callable, home: Home) -> None:
    with pytest.raises(DataError, match=r"50 phantom images are too few.*limit=72"):
        prepare("phantom", limit=50)
    assert not home.root.exists()


def test_a_home_that_is_no_folder_is_a_storage_error(prepare: Callable, home: Home) -> None:
    home.root.write_text("in the way")
    with pytest.raises(StorageError):
        prepare("phantom", limit=100)


# What is there already


def test_a_known_dataset_is_found_in_half_a_second_without_heavy_imports(
    prepare: Callable,
    publisher: Any,
    archive_folder: ArchiveFolder,
    blood_arrays: dict[str, np.ndarray],
    tmp_path: Path,
    home: Home,
) -> None:
    folder = archive_folder(train_labels=blood_arrays["train_labels"].astype(np.int64))
    for source in ("official", folder, "phantom"):
        assert prepare(source, limit=100).created
    # A medmnist that knows the archive of this test and refuses to be imported.
    package = tmp_path / "site" / "medmnist"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('imported')")
    import medmnist

    (package / "info.py").write_text(f"INFO = {medmnist.INFO!r}\n")
    script = f"""
import sys
from pathlib import Path
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.config import DatasetConfig
from fedforge_runtime.data.sources.datasets import load_labels, prepare_dataset, read_dataset_facts
from fedforge_runtime.storage.home import Home
home = Home(Path({str(home.root)!r}))
for source in ("official", "auto", {str(folder)!r}, "phantom"):
    config = DatasetConfig(flag="bloodmnist", source=source, limit=100)
    artifact = prepare_dataset(config, store=ArtifactStore(home), notify=print)
    assert not artifact.created, source
    assert len(load_labels(artifact, "train")) == read_dataset_facts(artifact).rows["train"]
assert not {{"medmnist", "torch", "datasets", "transformers", "pandas", "sklearn"}} & set(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    requests = publisher.requests
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
    assert publisher.requests == requests


# Real images


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("flag", "rows", "classes"),
    [
        ("bloodmnist", (11_959, 1_712, 3_421), 8),
        ("dermamnist", (7_007, 1_003, 2_005), 7),
        ("pathmnist", (503, 72, 143), 9),
    ],
)
def test_the_real_archives_load_as_unofficial(
    prepare: Callable, real_data: Path, flag: str, rows: tuple[int, ...], classes: int
) -> None:
    artifact = prepare(real_data, flag=flag)
    facts = read_dataset_facts(artifact)
    assert (facts.source, facts.official) == ("local", False)
    assert tuple(facts.rows.values()) == rows
    dataset = load_dataset(artifact)
    with np.load(real_data / f"{flag}.npz") as archive:
        images, labels = archive["val_images"], archive["val_labels"].ravel()
    assert dataset["validation"]["label"][:] == labels.tolist()
    for row in (0, 1, len(labels) // 2, len(labels) - 1):
        assert np.array_equal(np.asarray(dataset["validation"][row]["image"]), images[row])
    assert np.bincount(load_labels(artifact, "train"), minlength=classes).min() > 0
    assert not prepare(real_data, flag=flag).created
