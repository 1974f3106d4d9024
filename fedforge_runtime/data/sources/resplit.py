"""A dataset split anew, as a folder that `--data` reads: an archive in MedMNIST's format, groups, and provenance."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fedforge_runtime import __version__
from fedforge_runtime.data.sources.archive import ARCHIVE_SPLITS
from fedforge_runtime.data.sources.catalogue import archive_name
from fedforge_runtime.data.sources.datasets import (
    SPLITS,
    DatasetFacts,
    load_dataset,
    load_labels,
    pixel_blocks,
    read_dataset_facts,
)
from fedforge_runtime.data.sources.groups import GROUP_COLUMNS, Groups
from fedforge_runtime.data.sources.regroup import Regrouping, regroup
from fedforge_runtime.storage.artifacts import (
    Artifact,
    csv_text,
    new_folder,
    require_unused_folder,
    sha256_file,
    write_json,
)

if TYPE_CHECKING:
    from datasets import DatasetDict

GROUPS_FILE, PROVENANCE_FILE = "groups.csv", "split.json"


@dataclass(frozen=True)
class NewSplit:
    """The folder that was written."""

    folder: Path
    archive: Path
    groups: Path
    provenance: dict[str, Any]
    """What `split.json` holds."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that has something in it.

    Raises:
        StorageError: it exists and is not an empty folder.
    """
    require_unused_folder(folder, remedy="Choose another with --output DIR.")


def write_split(dataset: Artifact, groups: Groups, folder: Path, *, fractions: Sequence[float], seed: int) -> NewSplit:
    """Split a dataset anew and write it to `folder`, which appears only when it is whole.

    Files: `<flag>.npz`, `groups.csv` for the new row numbers, `split.json`.

    Raises:
        ConfigError: the fractions are no fractions.
        DataError: there are too few groups.
        StorageError: the folder is not empty, or cannot be written.
    """
    check_folder(folder)
    facts = read_dataset_facts(dataset)
    labels = np.concatenate([load_labels(dataset, split) for split in SPLITS])
    of_rows = groups.of_rows
    regrouped = regroup(of_rows, labels, fractions, classes=len(facts.class_names), seed=seed)
    rows = [np.flatnonzero(regrouped.split_of_rows == place) for place in range(len(SPLITS))]
    with new_folder(folder) as temporary:
        archive = temporary / archive_name(facts.flag, facts.size)
        _write_archive(archive, dataset, rows, labels)
        (temporary / GROUPS_FILE).write_text(_groups_table(groups, of_rows, rows), encoding="utf-8")
        provenance = _provenance(facts, groups, regrouped, archive, fractions, seed)
        write_json(temporary / PROVENANCE_FILE, provenance)
    return NewSplit(folder, folder / archive.name, folder / GROUPS_FILE, provenance)


def _write_archive(
    path: Path,
    dataset: Artifact,
    rows: Sequence[NDArray[np.int64]],
    labels: NDArray[np.int64],
) -> None:
    """What `numpy.savez_compressed` would write, but that the images go through memory in blocks."""
    images, size = load_dataset(dataset), read_dataset_facts(dataset).size
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, some in zip(ARCHIVE_SPLITS, rows, strict=True):
            with _member(archive, f"{name}_images", (len(some), size, size, 3)) as stream:
                for block in _pixels_of(images, some):
                    stream.write(block.tobytes())
            with _member(archive, f"{name}_labels", (len(some), 1)) as stream:
                stream.write(labels[some].astype(np.uint8).tobytes())


def _pixels_of(images: DatasetDict, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """The images of ascending `rows`, counted over the splits one after another."""
    first = 0
    for split in SPLITS:
        end = first + len(images[split])
        here = rows[(rows >= first) & (rows < end)] - first
        if len(here):
            yield from pixel_blocks(images[split].select(here))
        first = end


@contextmanager
def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    """Where the data of one array of bytes are written to, behind its header."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        header = {"descr": npy.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(stream, header)
        yield stream


def _groups_table(groups: Groups, of_rows: NDArray[np.int64], rows: Sequence[NDArray[np.int64]]) -> str:
    lines = [
        (split, index, groups.names[of_rows[row]])
        for split, some in zip(SPLITS, rows, strict=True)
        for index, row in enumerate(some)
    ]
    return csv_text([GROUP_COLUMNS, *lines])


def _provenance(
    facts: DatasetFacts,
    groups: Groups,
    regrouped: Regrouping,
    archive: Path,
    fractions: Sequence[float],
    seed: int,
) -> dict[str, Any]:
    totals = regrouped.class_rows.sum(axis=0)
    return {
        "version": 1,
        "source": facts.to_json(),
        "groups": {"file": groups.path.name, "sha256": groups.sha256, "groups": len(groups.names)},
        "seed": seed,
        "archive": {"file": archive.name, "sha256": sha256_file(archive)},
        "splits": [
            {
                "split": split,
                "fraction_asked": float(fractions[place]),
                "fraction": float(regrouped.class_rows[place].sum() / totals.sum()),
                "rows": int(regrouped.class_rows[place].sum()),
                "groups": len(np.unique(groups.of_rows[regrouped.split_of_rows == place])),
                "classes": [
                    {
                        "class": name,
                        "rows": int(regrouped.class_rows[place, code]),
                        "fraction": float(regrouped.class_rows[place, code] / totals[code]) if totals[code] else None,
                    }
                    for code, name in enumerate(facts.class_names)
                ],
            }
            for place, split in enumerate(SPLITS)
        ],
        "largest_deviation": regrouped.largest_deviation,
        "fedforge_version": __version__,
    }
