"""Where images come from: every source becomes one `DatasetDict` on disk and a record of what it is."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.config import DatasetConfig
from fedforge_runtime.data.sources.archive import (
    ARCHIVE_SPLITS,
    Archive,
    FileIdentity,
    IdentityMemory,
    identify,
    read_archive,
)
from fedforge_runtime.data.sources.catalogue import OfficialArchive, archive_name, official_archive
from fedforge_runtime.data.sources.download import Transferred, official_file, refuse_if_altered, untold
from fedforge_runtime.data.sources.phantom import (
    CLASS_COUNTS,
    DEFAULT_ROWS,
    GENERATOR_VERSION,
    generate,
    generated_labels,
)
from fedforge_runtime.data.stratification import stratified_rows
from fedforge_runtime.errors import DataError, UnreachableError, sentences
from fedforge_runtime.storage.artifacts import MANIFEST, Artifact, ArtifactStore
from fedforge_runtime.storage.home import Home

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_BUILDER_VERSION = 1
"""Raised by any change to what `_write_dataset` writes."""

_ARCHIVE_SPLIT = dict(zip(SPLITS, ARCHIVE_SPLITS, strict=True))
_ROWS_PER_BATCH = 512
_BLOCK_PIXELS = 2_000_000


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset is, for every screen and report that shows a number made from it."""

    flag: str
    size: int
    """Edge length of the images in pixels."""
    source: Literal["official", "local", "phantom"]
    official: bool
    """The file is the published one, to the byte."""
    fingerprint: str
    """SHA-256 of the flag and, for each split, the bytes of the images and labels (int64) that are used."""
    file_sha256: str | None
    """Of the archive; none for phantom images."""
    class_names: tuple[str, ...]
    """Official names by class id."""
    rows: Mapping[str, int]
    """By split."""
    licence: str
    title: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "class_names": list(self.class_names), "rows": dict(self.rows)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DatasetFacts:
        return cls(**{**document, "class_names": tuple(document["class_names"])})


def prepare_dataset(
    config: DatasetConfig,
    *,
    store: ArtifactStore,
    notify: Callable[[str], None],
    transferred: Transferred = untold,
) -> Artifact:
    """The dataset that `config` names, as an artifact of kind `dataset`.

    Its folder holds `dataset/` (see `load_dataset`) and `labels_<split>.npy` (see `load_labels`); its facts
    are those of `DatasetFacts`. One that was made before is found without loading any library for it.

    Args:
        notify: is told, in sentences for a person, of a download and of phantom images in place of real ones.
        transferred: is told how much of a large download is here, in bytes, and of how much.

    Raises:
        DataError: the data cannot be reached, or are not what they should be; says what to do.
        StorageError: the home is full or cannot be written.
    """
    official = official_archive(config.flag, config.size)
    if config.source == "phantom":
        return _prepare_phantom(config, official, store)
    if config.source not in ("official", "auto"):
        return _prepare_archive(config, official, _local_file(config), store)
    try:
        path = official_file(official, home=store.home, notify=notify, transferred=transferred)
    except UnreachableError as error:
        if config.source == "official":
            raise
        notify(sentences(error.message, "Phantom images stand in for it."))
        return _prepare_phantom(config, official, store)
    return _prepare_archive(config, official, path, store)


def foreseen_labels(config: DatasetConfig, *, home: Home) -> NDArray[np.int64] | None:
    """The class ids of the training rows that `prepare_dataset` would give, without an image being read, shape (rows,).

    Nothing is downloaded or written.

    Returns:
        `None` where the archive is not here yet.

    Raises:
        DataError: the data are not what they should be.
    """
    official = official_archive(config.flag, config.size)
    archived = home.data / official.file_name
    if config.source == "phantom" or (config.source == "auto" and not archived.is_file()):
        rows = min(config.limit or DEFAULT_ROWS, sum(CLASS_COUNTS[config.flag]))
        return generated_labels(config.flag, config.size, rows)["train"].astype(np.int64)
    path = archived if config.source in ("official", "auto") else _local_file(config)
    if not path.is_file():
        return None
    _, labels, rows_of = _used_rows(config, official, path)
    return labels["train"][rows_of["train"]]


def read_dataset_facts(artifact: Artifact) -> DatasetFacts:
    """The facts that `prepare_dataset` recorded."""
    try:
        return DatasetFacts.from_json(artifact.manifest["facts"])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{artifact.path / MANIFEST} is damaged: its facts are not those of a dataset ({error}).",
            remedy=f"Remove {artifact.path} to have it made again.",
        ) from error


def load_dataset(artifact: Artifact) -> DatasetDict:
    """The images and labels, memory-mapped.

    Returns:
        Splits `train`, `validation` and `test`, with `image` (`Image`: RGB, lossless) and `label`
        (`ClassLabel` with the official names).
    """
    from datasets import DatasetDict

    return DatasetDict.load_from_disk(artifact.path / "dataset")


def pixel_blocks(images: Dataset) -> Iterator[NDArray[np.uint8]]:
    """A split's images in blocks (some, size, size, 3). Its own decoding: the library's costs twice as much."""
    block: list[NDArray[np.uint8]] = []
    rows = itertools.count()
    for table in images.with_format("arrow").iter(batch_size=256):
        cells: Any = table["image"].combine_chunks().field("bytes")
        for cell in cells:
            pixels = _decoded(cell.as_py(), next(rows), images)
            block.append(pixels)
            if len(block) * pixels.shape[0] * pixels.shape[1] >= _BLOCK_PIXELS:
                yield np.stack(block)
                block = []
    if block:
        yield np.stack(block)


def _decoded(image: bytes, row: int, images: Dataset) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises, by the place that is damaged
        where = f" in {Path(images.cache_files[0]['filename']).parents[2]}" if images.cache_files else ""
        raise DataError(
            f"the image of row {row} of split {images.split}{where} is broken: it cannot be decoded.",
            remedy="Remove that folder to have it made again from the archive.",
        ) from error


def load_labels(artifact: Artifact, split: Split) -> NDArray[np.int64]:
    """The class ids of a split in the order of its rows, memory-mapped, shape (rows,)."""
    labels: NDArray[np.int64] = np.load(labels_file(artifact.path, split), mmap_mode="r", allow_pickle=False)
    return labels


def _prepare_phantom(config: DatasetConfig, official: OfficialArchive, store: ArtifactStore) -> Artifact:
    rows = min(config.limit or DEFAULT_ROWS, sum(CLASS_COUNTS[config.flag]))
    inputs = {
        "version": _BUILDER_VERSION,
        "flag": config.flag,
        "size": config.size,
        "class_names": list(official.class_names),
        "phantom": {"version": GENERATOR_VERSION, "rows": rows},
    }
    if found := store.find("dataset", store.key("dataset", inputs)):
        return found
    arrays = generate(config.flag, config.size, rows)
    images = {split: [arrays[f"{name}_images"]] for split, name in _ARCHIVE_SPLIT.items()}
    labels = {split: arrays[f"{name}_labels"].ravel().astype(np.int64) for split, name in _ARCHIVE_SPLIT.items()}

    def build(folder: Path) -> dict[str, Any]:
        return DatasetFacts(
            flag=config.flag,
            size=config.size,
            source="phantom",
            official=False,
            fingerprint=_write_dataset(folder, official, images, labels),
            file_sha256=None,
            class_names=official.class_names,
            rows={split: len(labels[split]) for split in SPLITS},
            licence="none (generated)",
            title=f"phantom images in the format of {official.title}",
        ).to_json()

    return store.build("dataset", inputs, build)


def _prepare_archive(config: DatasetConfig, official: OfficialArchive, path: Path, store: ArtifactStore) -> Artifact:
    memory = IdentityMemory(store.home)

    def inputs(identity: FileIdentity) -> dict[str, Any]:
        return {
            "version": _BUILDER_VERSION,
            "flag": config.flag,
            "size": config.size,
            "class_names": list(official.class_names),
            "file_sha256": identity.sha256,
            "official": identity.md5 == official.md5,
            "limit": config.limit,
        }

    must_be_official = config.source in ("official", "auto")
    recalled = memory.recall(path)
    trusted = recalled if recalled and (recalled.md5 == official.md5 or not must_be_official) else None
    if trusted and (found := store.find("dataset", store.key("dataset", inputs(trusted)))):
        return found
    try:
        identity = identify(path)
    except OSError as error:
        raise DataError(
            f"cannot read {path}", cause=error, remedy="Check the file's permissions and its disk."
        ) from error
    if must_be_official:
        refuse_if_altered(path, identity.md5, official)
    is_official = identity.md5 == official.md5
    archive, all_labels, rows = _used_rows(config, official, path)

    def build(folder: Path) -> dict[str, Any]:
        images = {split: archive.image_blocks(name, rows[split]) for split, name in _ARCHIVE_SPLIT.items()}
        labels = {split: all_labels[split][rows[split]] for split in SPLITS}
        return DatasetFacts(
            flag=config.flag,
            size=config.size,
            source="official" if is_official else "local",
            official=is_official,
            fingerprint=_write_dataset(folder, official, images, labels),
            file_sha256=identity.sha256,
            class_names=official.class_names,
            rows={split: len(rows[split]) for split in SPLITS},
            licence=official.licence if is_official else f"not stated (the official archive: {official.licence})",
            title=official.title,
        ).to_json()

    artifact = store.build("dataset", inputs(identity), build)
    memory.remember(path, identity)
    return artifact


def _used_rows(
    config: DatasetConfig, official: OfficialArchive, path: Path
) -> tuple[Archive, dict[Split, NDArray[np.int64]], dict[Split, NDArray[np.int64]]]:
    """An archive, its class ids, and which of its rows are used, by split."""
    archive = read_archive(path, size=config.size, classes=len(official.class_names))
    labels = {split: archive.labels[name] for split, name in _ARCHIVE_SPLIT.items()}
    return archive, labels, stratified_rows(labels, config.limit or sum(map(len, labels.values())))


def _local_file(config: DatasetConfig) -> Path:
    folder = Path(config.source).expanduser()
    name = archive_name(config.flag, config.size)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"the data folder {config.source} {what}.",
            remedy=f"Give a folder that holds {name}, or one of official, phantom, auto.",
        )
    path = folder / name
    if not path.is_file():
        archives = ", ".join(sorted(file.name for file in folder.glob("*.npz"))) or "no npz file"
        raise DataError(
            f"{path} does not exist; the folder holds {archives}.",
            remedy=f"Put {name} ({config.size} px, MedMNIST's format) there, or choose another folder.",
        )
    return path


def _write_dataset(
    folder: Path,
    official: OfficialArchive,
    images: Mapping[Split, Iterable[NDArray[np.uint8]]],
    labels: Mapping[Split, NDArray[np.int64]],
) -> str:
    """Fill an artifact's folder and return the fingerprint of what went in.

    Args:
        images: by split, blocks of shape (some, size, size, 3).
        labels: by split, shape (rows,).
    """
    from datasets import ClassLabel, DatasetDict, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=list(official.class_names))})
    digest = hashlib.sha256(official.flag.encode())
    for split in SPLITS:
        np.save(labels_file(folder, split), labels[split], allow_pickle=False)
        _write_table(folder / f"{split}.arrow", features, _digested(images[split], digest.update), labels[split])
        digest.update(labels[split].astype("<i8").tobytes())
    fingerprint = digest.hexdigest()
    tables = {split: _open_table(folder / f"{split}.arrow", features, split, fingerprint) for split in SPLITS}
    with _without_progress_bars():
        DatasetDict(tables).save_to_disk(folder / "dataset")
    del tables
    for split in SPLITS:
        (folder / f"{split}.arrow").unlink()
    return fingerprint


def _digested(blocks: Iterable[NDArray[np.uint8]], update: Callable[[bytes], None]) -> Iterator[NDArray[np.uint8]]:
    for block in blocks:
        update(block.tobytes())
        yield from block


def _write_table(path: Path, features: Any, images: Iterator[NDArray[np.uint8]], labels: NDArray[np.int64]) -> None:
    """Write rows as they come, so that memory does not grow with the dataset."""
    from datasets.arrow_writer import ArrowWriter
    from PIL import Image

    with ArrowWriter(path=str(path), features=features, writer_batch_size=_ROWS_PER_BATCH) as writer:
        for pixels, label in zip(images, labels, strict=True):
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, format="PNG")
            writer.write({"image": {"bytes": png.getvalue(), "path": None}, "label": int(label)})
        writer.finalize()


def _open_table(path: Path, features: Any, split: Split, fingerprint: str) -> Dataset:
    from datasets import Dataset, DatasetInfo
    from datasets.table import MemoryMappedTable

    return Dataset(
        MemoryMappedTable.from_file(str(path)),
        info=DatasetInfo(features=features),
        split=split,
        # Its own default depends on the file's time stamp; ours makes equal artifacts equal to the byte.
        fingerprint=f"{fingerprint[:32]}-{split}",
    )


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    import datasets

    were_shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_shown:
            datasets.enable_progress_bars()


def labels_file(folder: Path, split: Split) -> Path:
    """Where an artifact of rows keeps their class ids: the dataset itself, its features, its tokens."""
    return folder / f"labels_{split}.npy"
