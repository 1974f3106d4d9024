"""Archives in MedMNIST's format, right and wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedforge_runtime.data.sources.archive import read_archive
from fedforge_runtime.errors import DataError

ArchiveFolder = Callable[..., Path]


def read(folder: Path, **changes: int) -> object:
    return read_archive(folder / "bloodmnist.npz", **{"size": 28, "classes": 8, **changes})


def refusal(folder: Path, **changes: int) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, **changes)
    assert str(folder / "bloodmnist.npz") in caught.value.message
    assert caught.value.remedy
    return caught.value.message


def test_labels_and_images_come_back_as_they_were_written(
    archive_folder: ArchiveFolder, blood_arrays: dict[str, np.ndarray]
) -> None:
    archive = read_archive(archive_folder() / "bloodmnist.npz", size=28, classes=8)
    for split in ("train", "val", "test"):
        labels = archive.labels[split]
        assert labels.dtype == np.int64
        assert np.array_equal(labels, blood_arrays[f"{split}_labels"].ravel())
        images = np.concatenate(list(archive.image_blocks(split, np.arange(len(labels)))))
        assert np.array_equal(images, blood_arrays[f"{split}_images"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_chosen_rows_are_read_block_by_block(
    archive_folder: ArchiveFolder,
    blood_arrays: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    order: str,
) -> None:
    images = blood_arrays["train_images"]
    folder = archive_folder(train_images=np.asarray(images, order=order))
    monkeypatch.setattr("fedforge_runtime.data.sources.archive._BLOCK_BYTES", 5 * 28 * 28 * 3)
    archive = read_archive(folder / "bloodmnist.npz", size=28, classes=8)
    rows = np.array([0, 4, 5, 17, len(images) - 1])
    assert np.array_equal(np.concatenate(list(archive.image_blocks("train", rows))), images[rows])


def test_labels_of_any_integer_type_are_read(archive_folder: ArchiveFolder, blood_arrays: dict) -> None:
    labels = blood_arrays["train_labels"]
    for dtype in (np.int8, np.uint64, ">i4"):
        archive = read_archive(archive_folder(train_labels=labels.astype(dtype)) / "bloodmnist.npz", size=28, classes=8)
        assert np.array_equal(archive.labels["train"], labels.ravel())


def test_a_missing_array_is_named(archive_folder: ArchiveFolder) -> None:
    message = refusal(archive_folder(val_labels=None))
    assert "val_labels is missing" in message
    assert "val_images" in message


def test_images_of_another_type_are_refused(archive_folder: ArchiveFolder, blood_arrays: dict) -> None:
    floats = blood_arrays["test_images"].astype(np.float32)
    assert "test_images is float32, expected uint8" in refusal(archive_folder(test_images=floats))


def test_images_of_another_size_are_refused(archive_folder: ArchiveFolder) -> None:
    message = refusal(archive_folder(), size=64)
    assert "28, 28, 3), expected (rows, 64, 64, 3)" in message


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 28, 28, 1), (4, 3, 28, 28), (2352,), ()])
def test_images_of_another_shape_are_refused(archive_folder: ArchiveFolder, shape: tuple[int, ...]) -> None:
    message = refusal(archive_folder(train_images=np.zeros(shape, np.uint8)))
    assert f"train_images has shape {shape}, expected (rows, 28, 28, 3)" in message


def test_an_empty_split_is_refused(archive_folder: ArchiveFolder) -> None:
    empty = {"val_images": np.zeros((0, 28, 28, 3), np.uint8), "val_labels": np.zeros((0, 1), np.uint8)}
    assert "val_images holds no images" in refusal(archive_folder(**empty))


@pytest.mark.parametrize("dtype", [np.float64, np.bool_, "U1"])
def test_labels_of_another_type_are_refused(archive_folder: ArchiveFolder, dtype: str) -> None:
    message = refusal(archive_folder(train_labels=np.zeros((56, 1), dtype)))
    assert f"train_labels is {np.dtype(dtype)}, expected an integer type" in message


def test_labels_without_their_second_axis_are_the_same_labels(
    archive_folder: ArchiveFolder, blood_arrays: dict
) -> None:
    flat = {key: values.ravel() for key, values in blood_arrays.items() if key.endswith("_labels")}
    archive = read_archive(archive_folder(**flat) / "bloodmnist.npz", size=28, classes=8)
    for split in ("train", "val", "test"):
        assert np.array_equal(archive.labels[split], blood_arrays[f"{split}_labels"].ravel())


@pytest.mark.parametrize(("columns", "words"), [(8, ", as of one-hot rows"), (2, "")])
def test_labels_with_several_columns_are_refused(
    archive_folder: ArchiveFolder, blood_arrays: dict, columns: int, words: str
) -> None:
    rows = len(blood_arrays["train_labels"])
    message = refusal(archive_folder(train_labels=np.zeros((rows, columns), np.uint8)))
    assert f"train_labels has shape ({rows}, {columns}){words}, expected ({rows}, 1) or ({rows},)" in message


def test_labels_that_count_from_one_are_said_to(archive_folder: ArchiveFolder, blood_arrays: dict) -> None:
    labels = np.arange(len(blood_arrays["train_labels"])) % 8 + 1
    message = refusal(archive_folder(train_labels=labels))
    assert (
        "train_labels holds 8 in row 7 (9 such rows), as if the classes were counted from 1, expected 0 to 7" in message
    )


def test_more_labels_than_images_are_refused(archive_folder: ArchiveFolder, blood_arrays: dict) -> None:
    rows = len(blood_arrays["test_images"])
    message = refusal(archive_folder(test_labels=np.zeros((rows + 1, 1), np.uint8)))
    assert f"test_labels has shape ({rows + 1}, 1), expected ({rows}, 1)" in message


@pytest.mark.parametrize("wrong", [8, -1])
def test_a_label_out_of_range_is_shown_with_its_row(
    archive_folder: ArchiveFolder, blood_arrays: dict, wrong: int
) -> None:
    labels = blood_arrays["train_labels"].astype(np.int64)
    labels[5] = wrong
    message = refusal(archive_folder(train_labels=labels))
    assert f"train_labels holds {wrong} in row 5 (1 such rows), expected 0 to 7" in message


def test_pickled_objects_are_never_loaded(archive_folder: ArchiveFolder, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "trap-was-sprung",)

    objects = np.array([[Trap()]], dtype=object)
    assert "train_labels holds pickled Python objects" in refusal(archive_folder(train_labels=objects))
    assert not (tmp_path / "trap-was-sprung").exists()


def test_a_file_cut_short_is_called_damaged(archive_folder: ArchiveFolder) -> None:
    folder = archive_folder()
    file = folder / "bloodmnist.npz"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "cut short or damaged" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"these are not images", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_archive_is_refused(archive_folder: ArchiveFolder, content: bytes) -> None:
    folder = archive_folder()
    (folder / "bloodmnist.npz").write_bytes(content)
    assert "is not an npz archive" in refusal(folder)


def test_a_member_that_is_no_array_is_refused(archive_folder: ArchiveFolder) -> None:
    folder = archive_folder()
    with zipfile.ZipFile(folder / "bloodmnist.npz", "w") as archive:
        archive.writestr("train_images.npy", b"no array")
    assert "cut short or damaged (train_images" in refusal(folder)


def test_an_array_with_fewer_rows_than_its_header_says_is_refused(
    archive_folder: ArchiveFolder, blood_arrays: dict
) -> None:
    folder = archive_folder()
    with zipfile.ZipFile(folder / "bloodmnist.npz", "w") as archive:
        for key, array in blood_arrays.items():
            stream = io.BytesIO()
            np.save(stream, array)
            content = stream.getvalue()
            cut = 3 * 28 * 28 * 3 if key == "train_images" else 0
            archive.writestr(f"{key}.npy", content[: len(content) - cut])
    archive = read_archive(folder / "bloodmnist.npz", size=28, classes=8)
    with pytest.raises(DataError, match="train_images ends 3 rows early"):
        list(archive.image_blocks("train", np.arange(10)))


def test_one_flipped_bit_in_the_images_is_found(archive_folder: ArchiveFolder) -> None:
    folder = archive_folder()
    file = folder / "bloodmnist.npz"
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo("train_images.npy")
    content = bytearray(file.read_bytes())
    content[member.header_offset + member.compress_size // 2] ^= 1
    file.write_bytes(content)
    archive = read_archive(file, size=28, classes=8)
    with pytest.raises(DataError, match=r"cut short or damaged \(train_images"):
        list(archive.image_blocks("train", np.arange(3)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path)
