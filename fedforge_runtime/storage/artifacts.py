"""Content-addressed artifacts: `assets/<kind>/<key>/`, where the key is a hash of everything that made them.

An artifact appears under its name only when it is complete and on disk. Building is guarded by a lock that the
kernel releases when the builder dies; a resumable builder finds its earlier work in the same folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fedforge_runtime import __version__
from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import DataError, StorageError
from fedforge_runtime.errors.system import explain, explained
from fedforge_runtime.storage.home import Home

MANIFEST = "manifest.json"
_LOOK_SECONDS = 0.2


def canonical_json(value: Any) -> str:
    """JSON with one spelling for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Put `content` at `path` so that a reader sees the old file or the new one, whole and on disk.

    Args:
        private: its owner alone may read it, from the beginning; else whoever may read any new file.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`write_atomically` of indented JSON that a person can read."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV, one a line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def children(folder: Path) -> list[Path]:
    """What a folder holds, by name; nothing where there is no folder.

    Raises:
        OSError: it cannot be read; `Path.glob` would say that there is nothing.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


@contextmanager
def turn(file: Path, hear: Callable[[], None], *, look_seconds: float = _LOOK_SECONDS) -> Iterator[None]:
    """Nobody else who asks by the same file works while the block does.

    Args:
        hear: called while another process works, every `look_seconds`; whatever it raises ends the wait.
    """
    lock = FileLock(file, poll_interval=look_seconds / 4)
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=look_seconds)
        if not lock.is_locked:
            hear()
    try:
        yield
    finally:
        lock.release()


def require_unused_folder(folder: Path, *, remedy: str) -> None:
    """Raise `StorageError` when there is something at `folder` other than an empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"{folder} exists and is not an empty folder.", remedy=remedy)


def publish_folder(temporary: Path, final: Path, *, private: bool = False) -> None:
    """Flush every file below `temporary` to disk and rename it to `final`.

    Args:
        private: leave the files' rights as they are; else others may read them as they may any new file.
    """
    if not private:
        _follow_umask(temporary)
    _sync_tree(temporary)
    temporary.rename(final)
    _sync(final.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Where a block writes what is at `folder`, absent or empty before, once the block has ended well.

    Raises:
        StorageError: it cannot be written, or has no room.
    """
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rmdir()
        publish_folder(temporary, folder)
    except OSError as error:
        raise explain(error, folder.parent) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _follow_umask(folder: Path) -> None:
    """Have files read by whoever may list the folder: safetensors, for one, makes some for their user alone."""
    rights = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            present = stat.S_IMODE(path.stat().st_mode)
            if present | rights != present:
                path.chmod(present | rights)


def _sync_tree(folder: Path) -> None:
    for path in (*sorted(folder.rglob("*")), folder):
        _sync(path)


def _sync(path: Path) -> None:
    """Have a file's bytes, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Artifact:
    """A finished artifact and whether this call made it."""

    kind: str
    key: str
    path: Path
    created: bool

    @property
    def manifest(self) -> dict[str, Any]:
        """`kind, key, inputs, facts, files, made_at, fedforge_version`.

        Raises:
            DataError: it is damaged.
        """
        file, remedy = self.path / MANIFEST, f"Remove {self.path} to have it made again."
        try:
            manifest = read_json(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} is damaged", cause=error, remedy=remedy) from error
        if not isinstance(manifest, dict):
            raise DataError(f"{file} is damaged: it holds no JSON object.", remedy=remedy)
        if not all(isinstance(manifest.get(name), dict) for name in ("inputs", "facts")):
            raise DataError(f"{file} is damaged: it names no inputs or no facts.", remedy=remedy)
        return manifest


class ArtifactStore:
    """Finds and builds artifacts under one home.

    Args:
        hear: called often while another process builds what is wanted; whatever it raises ends the wait.
    """

    def __init__(self, home: Home, hear: Callable[[], None] = lambda: None) -> None:
        self.home = home
        self._hear = hear

    def key(self, kind: str, inputs: Mapping[str, Any]) -> str:
        """20 hexadecimal digits that name what `inputs` make."""
        return hashlib.sha256(canonical_json({"kind": kind, "inputs": inputs}).encode()).hexdigest()[:20]

    def find(self, kind: str, key: str) -> Artifact | None:
        path = self.home.assets / kind / key
        return Artifact(kind, key, path, created=False) if (path / MANIFEST).is_file() else None

    def build(
        self,
        kind: str,
        inputs: Mapping[str, Any],
        builder: Callable[[Path], Mapping[str, Any]],
        *,
        resumable: bool = False,
        scratch: Sequence[str] = (),
    ) -> Artifact:
        """Return the artifact that `inputs` make, calling `builder(folder)` when it is absent.

        Args:
            kind: its folder below `assets`.
            inputs: everything its bytes depend on, the version of the code that makes them included.
            builder: fills the folder and returns facts for the manifest.
            resumable: keep the folder of an interrupted build for the next one to go on with.
            scratch: patterns of files by which it goes on. They are no part of the artifact, and go when all else is
                on disk: until then an interrupted build finds them.

        Raises:
            StorageError: the home is full or cannot be written.
            Others that the system's refusals mean: see `explained`.
        """
        key = self.key(kind, inputs)
        if found := self.find(kind, key):
            return found
        folder = self.home.assets / kind
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with turn(folder / f".{key}.lock", self._hear):
                return self.find(kind, key) or self._build_locked(kind, key, inputs, builder, resumable, scratch)
        except Exception as error:
            if failure := explained(error, folder):
                raise failure from error
            raise

    def _build_locked(
        self,
        kind: str,
        key: str,
        inputs: Mapping[str, Any],
        builder: Callable[[Path], Mapping[str, Any]],
        resumable: bool,
        scratch: Sequence[str],
    ) -> Artifact:
        final = self.home.assets / kind / key
        partial = final.with_name(f".{key}.partial")
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        try:
            if not (partial / MANIFEST).is_file():  # else it was killed between its last step and its publication
                facts = builder(partial)
                _sync_tree(partial)  # whoever finds the manifest finds all
                left_out = _scratch_files(partial, scratch)
                manifest = {
                    "kind": kind,
                    "key": key,
                    "inputs": dict(inputs),
                    "facts": dict(facts),
                    "files": {
                        str(path.relative_to(partial)): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
                        for path in sorted(partial.rglob("*"))
                        if path.is_file() and path not in left_out
                    },
                    "made_at": utc_now().isoformat(),
                    "fedforge_version": __version__,
                }
                write_json(partial / MANIFEST, manifest)
            for path in _scratch_files(partial, scratch):
                path.unlink()
            publish_folder(partial, final)
        except BaseException:
            if not resumable:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        return Artifact(kind, key, final, created=True)


def _scratch_files(folder: Path, patterns: Sequence[str]) -> set[Path]:
    return {path for pattern in patterns for path in folder.glob(pattern)}
