"""An archive in MedMNIST's format: read strictly, never unpickled, and never whole in memory.

What identifies its bytes is remembered as long as it does not change.
"""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fedforge_runtime.errors import DataError
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home

ARCHIVE_SPLITS = ("train", "val", "test")
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Archive:
    """An archive whose arrays have the right names, types and shapes, and whose labels are in memory."""

    path: Path
    size: int
    """Edge length of the images in pixels."""
    labels: dict[str, NDArray[np.int64]]
    """Class ids of `train`, `val` and `test`, each of shape (rows,)."""

    def image_blocks(self, split: str, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        """The images of `rows` (ascending), in blocks of shape (some, size, size, 3).

        The whole array is read, so that its checksum in the archive is tested.

        Raises:
            DataError: the image data are damaged.
        """
        key, total = f"{split}_images", len(self.labels[split])
        with _open_array(self.path, key) as (stream, header):
            for start, block in _read_blocks(stream, header):
                first, last = np.searchsorted(rows, [start, start + len(block)])
                if last > first:
                    yield block[rows[first:last] - start]
                total -= len(block)
        if total:
            raise _damaged(self.path, f"{key} ends {total} rows early")


def read_archive(path: Path, *, size: int, classes: int) -> Archive:
    """Check an archive's structure and read its labels.

    Args:
        path: a `.npz` file with `train_images`, `train_labels`, and the same of `val` and `test`.
        size: the edge length that its images must have, in pixels.
        classes: labels must be in 0..classes-1.

    Raises:
        DataError: it is no such file; names the file, the array, what it holds and what it should.
    """
    remedy = (
        "It needs MedMNIST's format: "
        f"train_images, val_images, test_images of shape (rows, {size}, {size}, 3) in uint8, "
        f"train_labels, val_labels, test_labels of shape (rows, 1) or (rows,) in integers from 0 to {classes - 1}, "
        "saved with numpy.savez_compressed."
    )
    labels = {}
    for split in ARCHIVE_SPLITS:
        rows = _check_images(path, f"{split}_images", size, remedy)
        labels[split] = _read_labels(path, f"{split}_labels", rows, classes, remedy)
    return Archive(path, size, labels)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype[Any]


def _check_images(path: Path, key: str, size: int, remedy: str) -> int:
    with _open_array(path, key) as (_, header):
        shape, dtype = header.shape, header.dtype
    if dtype != np.uint8:
        raise DataError(f"{path}: {key} is {dtype}, expected uint8.", remedy=remedy)
    if len(shape) != 4 or shape[1:] != (size, size, 3):
        raise DataError(f"{path}: {key} has shape {shape}, expected (rows, {size}, {size}, 3).", remedy=remedy)
    if shape[0] == 0:
        raise DataError(f"{path}: {key} holds no images, expected one or more.", remedy=remedy)
    return shape[0]


def _read_labels(path: Path, key: str, rows: int, classes: int, remedy: str) -> NDArray[np.int64]:
    with _open_array(path, key) as (stream, header):
        if header.dtype.kind not in "iu":
            raise DataError(f"{path}: {key} is {header.dtype}, expected an integer type.", remedy=remedy)
        if header.shape not in ((rows,), (rows, 1)):
            one_hot = ", as of one-hot rows" if header.shape == (rows, classes) else ""
            raise DataError(
                f"{path}: {key} has shape {header.shape}{one_hot}, expected ({rows}, 1) "
                f"or ({rows},), one label for each image.",
                remedy=remedy,
            )
        labels = np.concatenate([block for _, block in _read_blocks(stream, header)]).ravel()
    if len(labels) != rows:
        raise _damaged(path, f"{key} ends {rows - len(labels)} rows early")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        from_one = ", as if the classes were counted from 1" if labels.min() == 1 and labels.max() == classes else ""
        raise DataError(
            f"{path}: {key} holds {labels[wrong[0]]} in row {wrong[0]} ({len(wrong)} such rows){from_one}, "
            f"expected 0 to {classes - 1}.",
            remedy=remedy,
        )
    return labels.astype(np.int64)


@contextmanager
def _open_array(path: Path, key: str) -> Iterator[tuple[IO[bytes], _Header]]:
    """The stream of one array's data, after its header."""
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{key}.npy" not in archive.namelist():
                present = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                raise DataError(
                    f"{path}: {key} is missing; the archive holds {present}.",
                    remedy="It needs train_images, train_labels, and the same of val and test.",
                )
            with archive.open(f"{key}.npy") as stream:
                header = _read_header(stream)
                if header.dtype.hasobject:
                    raise DataError(
                        f"{path}: {key} holds pickled Python objects (dtype object), expected plain numbers.",
                        remedy="Save it as an array of numbers; pickles can run code and are never loaded.",
                    )
                yield stream, header
    except zipfile.BadZipFile as error:
        with path.open("rb") as stream:
            if stream.read(2) == b"PK":
                raise _damaged(path, f"{key}: {error}") from error
        raise DataError(
            f"{path} is not an npz archive.",
            remedy="Put a file there that numpy.savez_compressed or MedMNIST made.",
        ) from error
    except (EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, f"{key}: {error}") from error
    except OSError as error:
        raise DataError(
            f"cannot read {path}", cause=error, remedy="Check that the file exists and can be read."
        ) from error


def _read_header(stream: IO[bytes]) -> _Header:
    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    return _Header(*read(stream))


def _read_blocks(stream: IO[bytes], header: _Header) -> Iterator[tuple[int, NDArray[Any]]]:
    """The array in blocks of whole rows, each with its first row's number; fewer when the data end early."""
    rows, *rest = header.shape
    row_bytes = int(np.prod(rest)) * header.dtype.itemsize
    if header.column_major:  # Its rows are scattered over the file, so there is no reading it in parts.
        yield 0, np.frombuffer(stream.read(rows * row_bytes), dtype=header.dtype).reshape(header.shape, order="F")
        return
    per_block = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, rows, per_block):
        expected = min(per_block, rows - start) * row_bytes
        data = stream.read(expected)
        yield start, np.frombuffer(data, dtype=header.dtype).reshape(-1, *rest)
        if len(data) < expected:
            return


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"{path} is cut short or damaged ({detail}).",
        remedy="Copy or download the file again; it was not used.",
    )


@dataclass(frozen=True)
class FileIdentity:
    """Digests of a file's bytes, and the state of the file when they were computed."""

    md5: str
    """What MedMNIST publishes; hexadecimal."""
    sha256: str
    """What we record; hexadecimal."""
    state: tuple[int, ...]
    """Bytes, inode, and the times of its last modification and change in nanoseconds."""


def identify(path: Path) -> FileIdentity:
    """Read the whole file once. Raises `OSError` when it cannot be read."""
    state = _state(path)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
    return FileIdentity(md5.hexdigest(), sha256.hexdigest(), state)


class IdentityMemory:
    """Identities by path: an archive of gigabytes is not read again to learn that it is known.

    A record holds while the file's state stays the same; its change time cannot be set by hand. Nobody reads
    an archive on the word of this memory: it finds what was made from it before.
    """

    def __init__(self, home: Home) -> None:
        self._folder = home.data / "identities"

    def recall(self, path: Path) -> FileIdentity | None:
        """The identity of `path` when the file has not changed since it was remembered."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(self._record(path))["identity"]
            identity = FileIdentity(record["md5"], record["sha256"], tuple(record["state"]))
            if identity.state == _state(path):
                return identity
        return None

    def remember(self, path: Path, identity: FileIdentity) -> None:
        """Keep the identity of `path`; where the home cannot be written it is computed again another time."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._record(path), {"path": str(path.resolve()), "identity": asdict(identity)})

    def _record(self, path: Path) -> Path:
        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:20]
        return self._folder / f"{name}.json"


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
