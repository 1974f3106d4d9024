"""Partitions on disk: made once for each configuration, read by each client for itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedforge_runtime.config import PartitionConfig
from fedforge_runtime.config.presets import PresetConfig
from fedforge_runtime.data.partition.rows import ClientRows, Partition, complete_partition, make_partition
from fedforge_runtime.data.scanner import ScannerShift
from fedforge_runtime.data.skew import Skew, measure_skew
from fedforge_runtime.errors import DataError
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, read_json, write_json

CODE_VERSION = 1
"""Part of every partition's key: raise it when the same configuration would give other rows."""

PRESET_CODE_VERSION = 1
"""The same for presets: raise it when the same preset would give other rows."""

SCANNER_CODE_VERSION = 1
"""The same for feature skew: raise it when the same configuration would give other shifts or other pixels."""

_HISTOGRAMS = "histograms.json"
_SKEW = "skew.json"
_SCANNER = "scanner.json"


def prepare_partition(
    config: PartitionConfig,
    *,
    seed: int,
    labels: npt.NDArray[Any],
    dataset_key: str,
    class_names: Sequence[str],
    store: ArtifactStore,
) -> Artifact:
    """The stored partition of one dataset; made when absent.

    The folder holds `clients/<number>/train.npy` and `validation.npy` (int64, ascending) and, with feature skew,
    `scanner.json`; `histograms.json`: rows per client, slice and class; and `skew.json`: how unlike the clients
    are.

    Args:
        config: how to partition.
        seed: the run's seed.
        labels: class of every training row, integers of shape (rows,).
        dataset_key: the dataset artifact that the labels are from.
        class_names: names by class number.
        store: where artifacts are kept.

    Raises:
        ConfigError: as `partition_rows`.
        DataError: a label without a class name.
        StorageError: the home cannot be written.
    """
    complete, preset = complete_partition(config)

    def build(folder: Path) -> dict[str, Any]:
        named = len(class_names)
        if len(labels) and not 0 <= labels.min() <= labels.max() < named:
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}, but there are {named} class names.",
                remedy="Check the dataset's labels.",
            )
        partition = make_partition(labels, complete, seed=seed)
        _write_clients(folder, partition)
        histograms = [_histograms(number, rows, labels, class_names) for number, rows in enumerate(partition.clients)]
        write_json(folder / _HISTOGRAMS, {"class_names": list(class_names), "clients": histograms})
        skew = load_skew(folder)
        write_json(folder / _SKEW, skew.to_json(class_names))
        return _facts(partition, preset, skew)

    inputs = {"dataset": dataset_key, "partition": _identity(complete, preset), "seed": seed, "code": CODE_VERSION}
    return store.build("partition", inputs, build)


def load_client_rows(folder: Path, client: int) -> ClientRows:
    """One client's rows of a stored partition; no other client's file is opened.

    Args:
        folder: the partition artifact's folder.
        client: the client's number, from 0.

    Raises:
        DataError: there is no such client, or its files are broken.
    """
    home = _client_folder(folder, client)
    if folder.is_dir() and not home.is_dir():
        raise DataError(
            f"the partition {folder} has no client {client}.",
            remedy=f"It has {len(list(folder.glob('clients/*')))} clients, numbered from 0.",
        )
    try:
        train, validation = (np.load(home / f"{name}.npy", allow_pickle=False) for name in ("train", "validation"))
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise DataError(
            f"cannot read the rows of client {client} in {home}",
            cause=error,
            remedy=f"Delete {folder} and run again: the partition is made anew.",
        ) from error
    return ClientRows(train, validation)


def load_scanner_shift(folder: Path, client: int) -> ScannerShift | None:
    """What one client's scanner does to its images; `None` in a partition without feature skew.

    Like `load_client_rows`, it opens no other client's file. The shift acts on the image before the processor:
    `shift_image(image, shift)`.

    Raises:
        DataError: the file is broken.
    """
    file = _client_folder(folder, client) / _SCANNER
    if not file.is_file():
        return None
    try:
        return ScannerShift.from_json(read_json(file))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"cannot read the scanner of client {client} in {file}",
            cause=error,
            remedy=f"Delete {folder} and run again: the partition is made anew.",
        ) from error


def row_shifts(folder: Path) -> tuple[npt.NDArray[np.int32], list[ScannerShift]] | None:
    """Through which scanner each training row of the dataset is seen; `None` in a partition without feature skew.

    Returns:
        The number of the client that holds each row (int32, shape (rows,)), for training or for its own
        validation, and the scanner of each client.

    Raises:
        DataError: a file of the partition is broken.
    """
    count = sum(1 for _ in folder.glob("clients/*"))
    shifts = [load_scanner_shift(folder, client) for client in range(count)]
    known = [shift for shift in shifts if shift is not None]
    if not known:
        return None
    clients = [load_client_rows(folder, client) for client in range(count)]
    holders = np.empty(sum(len(rows.train) + len(rows.validation) for rows in clients), dtype=np.int32)
    for number, rows in enumerate(clients):
        holders[rows.train] = number
        holders[rows.validation] = number
    return holders, known


def load_skew(folder: Path) -> Skew:
    """How unlike the clients of a stored partition are, by their training and validation rows together."""
    return measure_skew(load_histograms(folder)[0])


def load_histograms(folder: Path) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Training and validation rows together, (clients, classes), and the names of the classes.

    Raises:
        DataError: the file is damaged.
    """
    file = folder / _HISTOGRAMS
    try:
        document = read_json(file)
        counts = np.array([np.add(entry["train"], entry["validation"]) for entry in document["clients"]], np.int64)
        names = [str(name) for name in document["class_names"]]
        if counts.ndim != 2 or counts.shape[1] != len(names):
            raise ValueError(f"rows of shape {counts.shape} for {len(names)} classes")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file} is damaged", cause=error, remedy=f"Delete {folder} and run again: the partition is made anew."
        ) from error
    return counts, names


def _identity(config: PartitionConfig, preset: PresetConfig | None) -> dict[str, Any]:
    """What of a configuration decides the partition. A preset counts by its content, whatever its name or file.

    A partitioner without feature skew is described as it was before there were presets, so that keys stay.
    """
    fields = config.model_dump(mode="json", exclude={"preset", "feature_skew"})
    if preset:
        del fields["name"], fields["parameters"]
        fields |= {"preset": preset.model_dump(mode="json", exclude_none=True), "preset_code": PRESET_CODE_VERSION}
    skewed = bool(preset and any(group.feature_skew for group in preset.groups))
    if config.feature_skew and (skewed or config.feature_skew.moves_anything):
        fields["feature_skew"] = config.feature_skew.model_dump(mode="json", exclude_none=True)
        skewed = True
    return fields | ({"scanner_code": SCANNER_CODE_VERSION} if skewed else {})


def _client_folder(folder: Path, client: int) -> Path:
    return folder / "clients" / f"{client:05d}"


def _write_clients(folder: Path, partition: Partition) -> None:
    for number, rows in enumerate(partition.clients):
        home = _client_folder(folder, number)
        home.mkdir(parents=True)
        np.save(home / "train.npy", rows.train, allow_pickle=False)
        np.save(home / "validation.npy", rows.validation, allow_pickle=False)
        if partition.shifts:
            write_json(home / _SCANNER, partition.shifts[number].to_json())


def _histograms(number: int, rows: ClientRows, labels: npt.NDArray[Any], class_names: Sequence[str]) -> dict[str, Any]:
    train, validation = (
        np.bincount(labels[part], minlength=len(class_names)).tolist() for part in (rows.train, rows.validation)
    )
    return {"client": number, "train": train, "validation": validation}


def _facts(partition: Partition, preset: PresetConfig | None, skew: Skew) -> dict[str, Any]:
    """What the manifest says of a partition whose coverage has been proven."""
    clients = partition.clients
    train = [len(client.train) for client in clients]
    validation = [len(client.validation) for client in clients]
    sizes = np.add(train, validation)
    smallest, largest = int(sizes.argmin()), int(sizes.argmax())
    facts: dict[str, Any] = {
        "clients": len(clients),
        "rows": int(sizes.sum()),
        "train_rows": sum(train),
        "validation_rows": sum(validation),
        "smallest_client": {"client": smallest, "rows": int(sizes[smallest])},
        "largest_client": {"client": largest, "rows": int(sizes[largest])},
        "coverage": {"rows_with_one_client": int(sizes.sum()), "rows_without": 0, "rows_with_several": 0},
        "skew": skew.summary(),
        "made_with": {package: version(package) for package in ("flwr-datasets", "datasets", "numpy")},
    }
    if preset:
        facts["preset"] = {
            "title": preset.title,
            "story": preset.story,
            "groups": partition.groups,
            "filled_up_rows": partition.filled_up_rows,
        }
    if partition.shifts:
        facts["scanners"] = [shift.describe() for shift in partition.shifts]
    return facts
