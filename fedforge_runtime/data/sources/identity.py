"""What identifies a file's bytes, and a memory of it for files that have not changed since."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home

_CHUNK_BYTES = 1 << 20


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
