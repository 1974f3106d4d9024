"""A shard: one site's own rows in a folder of their own, all that a federated node is given.

It holds what the run's models read at that site, in the layouts of the artifacts that it is cut from, so that
`open_site(shard.inputs, SHARD_CLIENT, mode)` gives the same bits as the site's number does on all rows. Nothing of
another site or of the central splits is in it, and it can be copied to another machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from fedforge_runtime.config import Mode, RunConfig
from fedforge_runtime.data.features.backbone import read_backbone
from fedforge_runtime.data.features.caches import FEATURES, TOKENS
from fedforge_runtime.data.features.preprocess import PROCESSOR_FOLDER
from fedforge_runtime.data.features.row_pass import array_file
from fedforge_runtime.data.partition import ClientRows, load_client_rows, load_scanner_shift
from fedforge_runtime.data.scanner import ScannerShift
from fedforge_runtime.data.sources.datasets import labels_file, load_dataset
from fedforge_runtime.errors import BackboneError, DataError, StorageError
from fedforge_runtime.hardware.devices import DeviceDecision
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.prepare import check_preparation, prepare_all, run_inputs
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.sites.settings import DataFit
from fedforge_runtime.storage.artifacts import (
    Artifact,
    ArtifactStore,
    new_folder,
    read_json,
    require_unused_folder,
    sha256_file,
    write_json,
)
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.narration import Narrator
from fedforge_runtime.wording import explain_problems, size, some_of

SHARD = "shard"
SHARD_FILE = "shard.json"
SHARD_CLIENT = 0
"""The number of a shard's site in the shard's own partition, whatever its number in the federation."""

_VERSION = 1
"""Of the folder's layout."""
_CODE_VERSION = 1
"""Part of every shard's key: raised by any change to what is written."""
_BLOCK_BYTES = 1 << 22
_BACKBONE_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_MAKE_AGAIN = "Have it made with `fedforge shards PHASE DIR` and the run's options, and handed over again."


@dataclass(frozen=True)
class Shard:
    """One site's folder."""

    path: Path
    key: str
    site: int
    """The site's number in the federation."""
    phase: str
    own: bool
    """Made at the site from its own images, and not cut from a dataset."""
    train_rows: int
    validation_rows: int
    inputs: RunInputs
    """What the site's models are made of, with absolute paths; what the run's mode has no use for is not there."""


@dataclass(frozen=True)
class _Needs:
    """What a run reads at a site beside the caches that its inputs name."""

    images: bool
    backbone: bool

    @classmethod
    def of(cls, mode: Mode, fit: DataFit) -> _Needs:
        """The features serve the head, statistics and moments in every mode; the tokens the last block."""
        images = not fit.features or mode == "full" or (mode == "last_block" and not fit.tokens)
        return cls(images=images, backbone=images or mode != "head_only")


class _Rows(BaseModel, extra="forbid", frozen=True):
    train: int = Field(ge=1)
    validation: int = Field(ge=1)


class _File(BaseModel, extra="forbid", frozen=True):
    bytes: int
    sha256: str


class _Document(BaseModel, extra="forbid", frozen=True):
    """`shard.json`; paths are relative to its folder."""

    version: Literal[1]
    key: str
    site: int = Field(ge=0)
    phase: str
    own: bool
    rows: _Rows
    files: dict[str, _File]
    """Every other file of the folder."""
    inputs: RunInputs


def prepare_shards(config: RunConfig, inputs: RunInputs, *, store: ArtifactStore) -> Artifact:
    """The artifact `shard`: one folder `site-00000`, … for each site of the partition.

    A shard holds, of the training split, the rows that the site trains and validates on, ascending and numbered
    anew: `partition/`, `features/` and `tokens/` as far as the inputs name them; `dataset/` where the mode reads
    images; `backbone/` where it builds one; `preprocess/`; and `shard.json`.

    Args:
        inputs: those of a run with this configuration.

    Raises:
        StorageError: not enough room on the disk.
        DataError, BackboneError: an artifact is broken, or the backbone is no longer what it was.
    """
    needs = _Needs.of(config.learning.mode, DataFit.of(config, inputs))
    described = _described(config, inputs, needs)
    key = store.key(SHARD, described)

    def build(folder: Path) -> Mapping[str, Any]:
        clients = [load_client_rows(inputs.partition_folder, client) for client in range(config.partition.clients)]
        require_room(folder, _bytes_needed(inputs, needs, clients))
        for site, rows in enumerate(clients):
            shard = folder / site_folder(site)
            _cut(shard, inputs, needs, rows, load_scanner_shift(inputs.partition_folder, site))
            _write_document(shard, key, site, config.phase, rows, _portable(inputs), own=False)
        return {"sites": len(clients), "rows": [len(rows.train) + len(rows.validation) for rows in clients]}

    return store.build(SHARD, described, build)


def prepare_reference_shard(config: RunConfig, inputs: RunInputs, *, site: int, store: ArtifactStore) -> Shard:
    """The shard of a site that made all artifacts itself, of its own images: it refers to them where they lie.

    Args:
        config: with a partition of one client, which holds every training row.
        site: the site's number in the federation.

    Raises:
        StorageError, BackboneError: as `prepare_shards`.
    """
    needs = _Needs.of(config.learning.mode, DataFit.of(config, inputs))
    described = _described(config, inputs, needs) | {"own": True, "site": site}
    key = store.key(SHARD, described)

    def build(folder: Path) -> Mapping[str, Any]:
        rows = load_client_rows(inputs.partition_folder, SHARD_CLIENT)
        shard = folder / site_folder(site)
        shard.mkdir()
        if needs.backbone:
            _copy_backbone(inputs, shard / "backbone")
        # From the store's folder for work in progress the way is the same as from the final one.
        beside = {name: os.path.relpath(path, shard) for name, path in inputs.folders.items() if name != "backbone"}
        _write_document(shard, key, site, config.phase, rows, _portable(inputs, beside), own=True)
        return {"sites": 1, "rows": [len(rows.train) + len(rows.validation)]}

    return open_shard(store.build(SHARD, described, build).path / site_folder(site))


def open_shard(folder: Path) -> Shard:
    """The shard in a folder; its files are looked at by size, and read by `check_shard`.

    Raises:
        DataError: it is none, of another version, or a file is missing or has another size than it was written with.
    """
    document = _read_document(folder)
    for name, file in document.files.items():
        held = (folder / name).stat().st_size if (folder / name).is_file() else None
        if held != file.bytes:
            what = "is missing" if held is None else f"has {held:,} bytes, not {file.bytes:,}"
            raise DataError(f"the shard {folder} is broken: {name} {what}.", remedy=_MAKE_AGAIN)
    # Not of its parents, but where it lies: a relative path may leave the folder of a site's own shard.
    root = folder.resolve()
    absolute = {name: os.path.normpath(root / path) for name, path in document.inputs.folders.items()}
    if document.own:
        kept = [absolute[name] for name in ("partition", "preprocess", "features", "tokens") if name in absolute]
        if lost := [path for path in kept if not Path(path).is_dir()]:
            raise DataError(
                f"the shard {folder} is of the site's own data, and {lost[0]} is gone.",
                remedy="Prepare the site's own data again, with the same --home.",
            )
    return Shard(
        path=folder,
        key=document.key,
        site=document.site,
        phase=document.phase,
        own=document.own,
        train_rows=document.rows.train,
        validation_rows=document.rows.validation,
        inputs=document.inputs.model_copy(update=absolute),
    )


def find_shard(folder: Path, *, key: str, site: int) -> Shard:
    """The shard that was made for one site of a run; no other site's files are opened.

    Args:
        folder: the shard's own folder, one of the site's shards by key, a folder of shards of all sites, or a store's
            folder of such folders by key.
        key: of the shards of the run.
        site: the site's number in the federation.

    Raises:
        DataError: it is not there, or as `open_shard`; says what is there instead.
    """
    there = []
    for candidate in (folder, folder / key, folder / site_folder(site), folder / key / site_folder(site)):
        if (candidate / SHARD_FILE).is_file():
            shard = open_shard(candidate)
            if shard.own:
                raise DataError(
                    f"site {site} brings its own data, and the run has data for it.",
                    remedy="Start the run with --site-data own, or this site's node with --shards DIR.",
                )
            if shard.site == site and shard.key == key:
                return shard
            there.append(f"{candidate} is that of site {shard.site} with key {shard.key} (phase {shard.phase})")
    raise DataError(
        f"there is no shard of site {site} with key {key} in {folder}: {'; '.join(there) or _contents(folder)}.",
        remedy="A shard fits runs with the same data, partition, seed, backbone and mode. "
        f"Make the run's with `fedforge shards PHASE DIR` and give this site its {site_folder(site)}.",
    )


def find_own_shard(folder: Path | None, *, site: int, mode: Mode, fit: DataFit) -> Shard:
    """The shard of a site's own data, once it is known to fit a run.

    Args:
        folder: that `prepare_own_shard` gave; `None` where a node has none.
        site: the site's number in the federation.
        mode, fit: of the run.

    Raises:
        DataError: the site has no data of its own, or they do not fit; or as `open_shard`.
    """
    shard = open_shard(folder) if folder and (folder / SHARD_FILE).is_file() else None
    if shard is None or not shard.own or shard.site != site:
        raise DataError(
            f"the run is over the sites' own data, and site {site} "
            f"{'brings none' if shard is None else f'has a shard that was made for site {shard.site} of another run'}.",
            remedy="Start this site's node with --data DIR, or the run without --site-data own.",
        )
    require_fit(shard, mode, fit)
    return shard


def check_shard(shard: Shard) -> None:
    """Read every file of a shard's folder and compare it with what was written.

    Raises:
        DataError: a file has other bytes; names it.
    """
    for name, file in _read_document(shard.path).files.items():
        if sha256_file(shard.path / name) != file.sha256:
            raise DataError(
                f"the shard {shard.path} is broken: {name} has other bytes than it was written with.",
                remedy=_MAKE_AGAIN,
            )


def require_fit(shard: Shard, mode: Mode, fit: DataFit) -> None:
    """Refuse a shard that cannot take part in a run, as one of a site's own data may not.

    Args:
        mode, fit: what the run trains, and what it needs for that.

    Raises:
        DataError: another phase, other classes, another backbone, or something that the mode needs is not in it.
    """
    if problems := list(_misfits(shard, mode, fit)):
        raise DataError(
            f"the data of site {shard.site} do not fit the run: {'; '.join(problems)}.",
            remedy="Start this site's node anew with the run's --phase, --backbone, --mode and --set.",
        )


def _misfits(shard: Shard, mode: Mode, fit: DataFit) -> Iterator[str]:
    inputs, needs = shard.inputs, _Needs.of(mode, fit)
    if shard.phase != fit.phase:
        yield f"they are of phase {shard.phase}, not {fit.phase}"
    if tuple(inputs.class_names) != fit.class_names:
        yield "they have other classes"
    if inputs.backbone_sha256 != fit.backbone_sha256:
        yield f"they were made ready with another backbone, {inputs.backbone_name}"
    folders = {
        FEATURES: inputs.features if fit.features else "",
        TOKENS: inputs.tokens if fit.tokens else "",
        "images": inputs.dataset if needs.images else "",
        "weights of the backbone": inputs.backbone if needs.backbone else "",
    }
    for name, folder in folders.items():
        if folder is None or (folder and not Path(folder).is_dir()):
            yield f"there are no {name} with them, which mode {mode} needs"


def make_shards(config: RunConfig, *, home: Home, narrator: Narrator) -> Artifact:
    """Prepare everything that a configuration needs, and its shards.

    Raises:
        ConfigError, DataError, BackboneError, StorageError: the request cannot be carried out.
        RunStoppedError: interrupted; the features computed so far are kept.
    """
    check_preparation(config, home)
    with Workshop(config, home, narrator) as workshop:
        prepared = prepare_all(workshop)
    return prepare_shards(config, run_inputs(config, prepared), store=workshop.store)


def check_export_folder(folder: Path) -> None:
    """Raise `StorageError` when there is something in the folder that shards are to be copied to."""
    require_unused_folder(folder, remedy="Choose another DIR for the shards.")


def export_shards(artifact: Artifact, folder: Path) -> list[Shard]:
    """Copy shards out of the store, for handing them to the sites; `folder` appears only when it is whole.

    Raises:
        StorageError: the folder is not empty, has no room, or cannot be written.
    """
    check_export_folder(folder)
    with new_folder(folder) as temporary:
        require_room(temporary, folder_bytes(artifact.path))
        for shard in sorted(artifact.path.glob("site-*")):
            shutil.copytree(shard, temporary / shard.name, copy_function=shutil.copyfile)
    return [open_shard(shard) for shard in sorted(folder.iterdir())]


def site_folder(site: int) -> str:
    """The name of a site's shard."""
    return f"site-{site:05d}"


def folder_bytes(folder: Path) -> int:
    """What all files below a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _described(config: RunConfig, inputs: RunInputs, needs: _Needs) -> dict[str, Any]:
    """Everything that decides the shards' bytes; what the inputs name is used, images and backbone where needed."""
    return {
        "phase": config.phase,
        "mode": config.learning.mode,
        "images": needs.images,
        "backbone": needs.backbone,
        "backbone_sha256": inputs.backbone_sha256,
        "artifacts": dict(inputs.keys),
        "block_from": inputs.block_from,
        "code": _CODE_VERSION,
    }


def _portable(inputs: RunInputs, paths: Mapping[str, str] | None = None) -> RunInputs:
    """The inputs as they are at any site, with these paths, else those within the shard."""
    name = inputs.backbone_name
    is_path = name.count("/") > 1 or Path(name).is_absolute() or Path(name).exists()
    changes = {"backbone_name": Path(name).name if is_path else name, "device": DeviceDecision()}
    return inputs.model_copy(update={folder: folder for folder in inputs.folders} | dict(paths or {}) | changes)


def _cut(folder: Path, inputs: RunInputs, needs: _Needs, rows: ClientRows, scanner: ScannerShift | None) -> None:
    """Write everything of a shard but `shard.json`."""
    held = np.sort(np.concatenate([rows.train, rows.validation]))
    client = folder / "partition" / "clients" / f"{SHARD_CLIENT:05d}"
    client.mkdir(parents=True)
    np.save(client / "train.npy", np.searchsorted(held, rows.train), allow_pickle=False)
    np.save(client / "validation.npy", np.searchsorted(held, rows.validation), allow_pickle=False)
    if scanner:
        write_json(client / "scanner.json", scanner.to_json())
    for what, source in ((FEATURES, inputs.features), (TOKENS, inputs.tokens)):
        if source:
            (folder / what).mkdir()
            _copy_rows(array_file(Path(source), what, "train"), array_file(folder / what, what, "train"), held)
            _copy_rows(labels_file(Path(source), "train"), labels_file(folder / what, "train"), held)
    if needs.images:
        _copy_images(Path(inputs.dataset), folder / "dataset", held)
    shutil.copytree(Path(inputs.preprocess) / PROCESSOR_FOLDER, folder / "preprocess" / PROCESSOR_FOLDER)
    if needs.backbone:
        _copy_backbone(inputs, folder / "backbone")


def _copy_rows(source: Path, target: Path, rows: NDArray[np.int64]) -> None:
    """Copy some rows of an array file block by block: neither array has to fit in memory."""
    array = _mapped(source)
    shape = (len(rows), *array.shape[1:])
    rows_per_block = max(1, _BLOCK_BYTES // array[0].nbytes)
    header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": shape}
    with target.open("wb") as stream:
        npy.write_array_header_1_0(stream, header)
        for first in range(0, len(rows), rows_per_block):
            # Mapped anew: the pages that a mapping has read count as this process's memory for as long as it is there.
            array = _mapped(source)
            stream.write(np.ascontiguousarray(array[rows[first : first + rows_per_block]]).data)


def _mapped(file: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def _copy_images(source: Path, target: Path, rows: NDArray[np.int64]) -> None:
    """Some rows of a dataset's training split as a dataset of that split alone."""
    from datasets import DatasetDict

    images = load_dataset(Artifact("dataset", source.name, source, created=False))["train"]
    target.mkdir()
    DatasetDict({"train": images.select(rows)}).save_to_disk(target / "dataset")
    _copy_rows(labels_file(source, "train"), labels_file(target, "train"), rows)


def _copy_backbone(inputs: RunInputs, target: Path) -> None:
    source = Path(inputs.backbone)
    target.mkdir()
    for name in _BACKBONE_FILES:
        shutil.copyfile(source / name, target / name)
    if read_backbone(inputs.backbone_name, target).sha256 != inputs.backbone_sha256:
        raise BackboneError(
            f"the backbone {source} is no longer the one that the features were computed with.",
            remedy="Run the command again: what depends on it is made anew.",
        )


def _write_document(
    folder: Path, key: str, site: int, phase: str, rows: ClientRows, inputs: RunInputs, *, own: bool
) -> None:
    files = {
        path.relative_to(folder).as_posix(): _File(bytes=path.stat().st_size, sha256=sha256_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    document = _Document(
        version=_VERSION,
        key=key,
        site=site,
        phase=phase,
        own=own,
        rows=_Rows(train=len(rows.train), validation=len(rows.validation)),
        files=files,
        inputs=inputs,
    )
    write_json(folder / SHARD_FILE, document.model_dump(mode="json"))


def _read_document(folder: Path) -> _Document:
    file = folder / SHARD_FILE
    try:
        value = read_json(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} is no shard: it has no {SHARD_FILE}.", remedy=_MAKE_AGAIN) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the shard's {file}", cause=error, remedy=_MAKE_AGAIN) from error
    version = value.get("version") if isinstance(value, dict) else None
    if isinstance(version, int) and version != _VERSION:
        raise DataError(
            f"{file} is of version {version}, and this FedForge reads version {_VERSION}.",
            remedy="Use the same version of FedForge at the site as where the shards are made.",
        )
    try:
        document = _Document.model_validate(value)
    except ValidationError as error:
        problems = explain_problems(error, _Document, root=SHARD_FILE)
        raise DataError(f"{file} is broken: {problems}", remedy=_MAKE_AGAIN) from error
    paths = [*document.files, *([] if document.own else document.inputs.folders.values())]
    if foreign := [path for path in paths if not _is_within(path)]:
        raise DataError(f"{file} is broken: {foreign[0]} is not in the shard's folder.", remedy=_MAKE_AGAIN)
    return document


def _is_within(path: str) -> bool:
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _contents(folder: Path) -> str:
    """What there is in a folder without the wanted shard, by its names alone."""
    if not folder.is_dir():
        return "it is not a folder" if folder.exists() else "it does not exist"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f"it holds {some_of(names, 5)}" if names else "it holds no folder"


def _bytes_needed(inputs: RunInputs, needs: _Needs, clients: list[ClientRows]) -> int:
    """What the shards of all sites take; a little more where they hold images."""
    rows = sum(len(client.train) + len(client.validation) for client in clients)
    needed = 0
    for what, folder in ((FEATURES, inputs.features), (TOKENS, inputs.tokens)):
        if folder:
            first = _mapped(array_file(Path(folder), what, "train"))[0]
            needed += rows * (first.nbytes + np.dtype(np.int64).itemsize)
    if needs.images:
        needed += folder_bytes(Path(inputs.dataset))
    if needs.backbone:
        needed += len(clients) * sum((Path(inputs.backbone) / name).stat().st_size for name in _BACKBONE_FILES)
    return needed


def require_room(folder: Path, needed: int) -> None:
    """Raise `StorageError` where the disk of a folder has no room for so many bytes of shards."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.1:
        raise StorageError(
            f"the shards need {size(needed)}, but {folder.parent} has {size(free)} left.",
            remedy="Free some space or choose a folder on another disk.",
        )
