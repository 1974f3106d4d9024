"""Phantom images."""

from __future__ import annotations

import numpy as np
import pytest

from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.phantom import CLASS_COUNTS, generate, minimum_rows
from fedforge_runtime.errors import DataError

FLAGS = ("bloodmnist", "dermamnist", "pathmnist")


@pytest.fixture(scope="module")
def archives() -> dict[str, dict[str, np.ndarray]]:
    return {flag: generate(flag, 28, 2_000) for flag in FLAGS}


@pytest.mark.parametrize("flag", FLAGS)
def test_the_arrays_have_the_format_of_medmnist(archives: dict, flag: str) -> None:
    arrays = archives[flag]
    assert set(arrays) == {f"{split}_{what}" for split in ("train", "val", "test") for what in ("images", "labels")}
    for split, rows in (("train", 1_400), ("val", 200), ("test", 400)):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        assert (images.dtype, images.shape) == (np.uint8, (rows, 28, 28, 3))
        assert (labels.dtype, labels.shape) == (np.uint8, (rows, 1))


@pytest.mark.parametrize("flag", FLAGS)
def test_the_classes_are_those_of_the_real_set_and_as_frequent(archives: dict, flag: str) -> None:
    assert len(CLASS_COUNTS[flag]) == len(official_archive(flag, 28).class_names)
    counts = np.bincount(archives[flag]["train_labels"].ravel())
    expected = np.array(CLASS_COUNTS[flag]) / sum(CLASS_COUNTS[flag])
    assert np.abs(counts / counts.sum() - expected).max() < 0.002


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("rows", [81, 200, 401])
def test_every_class_has_three_images_in_every_split(flag: str, rows: int) -> None:
    arrays = generate(flag, 28, rows)
    assert sum(len(arrays[f"{split}_labels"]) for split in ("train", "val", "test")) == rows
    for split in ("train", "val", "test"):
        counts = np.bincount(arrays[f"{split}_labels"].ravel(), minlength=len(CLASS_COUNTS[flag]))
        assert counts.min() >= 3


@pytest.mark.parametrize("flag", FLAGS)
def test_the_images_are_the_same_every_time(archives: dict, flag: str) -> None:
    again = generate(flag, 28, 2_000)
    assert all(np.array_equal(again[key], archives[flag][key]) for key in again)


@pytest.mark.parametrize("flag", FLAGS)
def test_no_image_appears_twice(archives: dict, flag: str) -> None:
    arrays = archives[flag]
    images = np.concatenate([arrays[f"{split}_images"] for split in ("train", "val", "test")])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_classes_can_be_learned_from_pixels_but_not_perfectly(archives: dict) -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import balanced_accuracy_score

    chance = {flag: 1 / len(CLASS_COUNTS[flag]) for flag in FLAGS}
    for flag in FLAGS:
        arrays = archives[flag]
        # Channel means, spreads and the coarse picture: what a simple eye sees of colour, texture and shape.
        train, test = (_coarse(arrays[f"{split}_images"]) for split in ("train", "test"))
        model = RidgeClassifier(alpha=1.0, class_weight="balanced").fit(train, arrays["train_labels"].ravel())
        score = balanced_accuracy_score(arrays["test_labels"].ravel(), model.predict(test))
        assert 3 * chance[flag] < score < 0.99, flag


def test_raw_pixels_beat_the_most_frequent_class_by_far(archives: dict) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    for flag in ("bloodmnist", "pathmnist"):
        arrays = archives[flag]
        train, test = (arrays[f"{split}_images"].reshape(-1, 28 * 28 * 3) / 255 for split in ("train", "test"))
        model = KNeighborsClassifier(5).fit(train, arrays["train_labels"].ravel())
        accuracy = model.score(test, arrays["test_labels"].ravel())
        majority = np.bincount(arrays["test_labels"].ravel()).max() / len(test)
        assert 2 * majority < accuracy < 0.95, flag


def test_the_same_scene_has_the_same_colours_at_another_size(archives: dict) -> None:
    larger = generate("bloodmnist", 64, 400)
    assert larger["train_images"].shape == (280, 64, 64, 3)
    small = archives["bloodmnist"]["train_images"].mean(axis=(0, 1, 2))
    assert np.abs(larger["train_images"].mean(axis=(0, 1, 2)) - small).max() < 8


@pytest.mark.parametrize(("flag", "least"), [("bloodmnist", 72), ("dermamnist", 63), ("pathmnist", 81)])
def test_too_few_rows_for_the_classes_are_refused_with_the_number(flag: str, least: int) -> None:
    assert minimum_rows(flag) == least
    assert len(generate(flag, 28, least)["val_labels"]) == least // 3
    with pytest.raises(DataError, match=rf"{least - 1} phantom images are too few.*limit={least}"):
        generate(flag, 28, least - 1)


def _coarse(images: np.ndarray) -> np.ndarray:
    pixels = images / 255
    blocks = pixels.reshape(len(pixels), 7, 4, 7, 4, 3)
    parts = (
        pixels.mean(axis=(1, 2)),
        pixels.std(axis=(1, 2)),
        blocks.mean(axis=(2, 4)),
        blocks.std(axis=(2, 4)),
    )
    return np.concatenate([part.reshape(len(pixels), -1) for part in parts], axis=1)
