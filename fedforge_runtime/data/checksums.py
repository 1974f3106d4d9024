"""What identifies a file's bytes, and a memory of it for files that have not changed since."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fedforge_runtime.artifacts import read_json, write_json
from fedforge_runtime.home import Home

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checksums:
    """Hexadecimal digests of one file: MD5 is what MedMNIST publishes, SHA-256 is what we trust."""

    md5: str
    sha256: str


def compute_checksums(path: Path) -> Checksums:
    """Read the whole file once."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
    return Checksums(md5.hexdigest(), sha256.hexdigest())


class ChecksumMemory:
    """Checksums of archives by path: one of several gigabytes is not read again to learn that it is known.

    A record holds while the file's size, inode and both its times stay the same; the change time cannot be
    set by hand. Nobody reads an archive on the word of this memory: it finds what was made from it before.
    """

    def __init__(self, home: Home) -> None:
        self._folder = home.data / "checksums"

    def recall(self, path: Path) -> Checksums | None:
        """The checksums of `path` when it has not changed since they were computed."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(self._record(path))
            if record["state"] == _state(path):
                return Checksums(**record["checksums"])
        return None

    def compute(self, path: Path) -> Checksums:
        """Read the whole file, and remember its checksums where the home can be written."""
        state = _state(path)
        checksums = compute_checksums(path)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            record = {"path": str(path.resolve()), "state": state, "checksums": asdict(checksums)}
            write_json(self._record(path), record)
        return checksums

    def _record(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:20]}.json"


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {
        "bytes": status.st_size,
        "inode": status.st_ino,
        "modified_nanoseconds": status.st_mtime_ns,
        "changed_nanoseconds": status.st_ctime_ns,
    }
