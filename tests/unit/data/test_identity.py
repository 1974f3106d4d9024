"""What identifies a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fedforge_runtime.data.sources.archive import IdentityMemory, identify
from fedforge_runtime.storage.home import Home


def test_the_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    identity = identify(tmp_path / "file")
    assert identity.md5 == hashlib.md5(content).hexdigest()
    assert identity.sha256 == hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_remembered(tmp_path: Path, home: Home) -> None:
    (tmp_path / "file").write_bytes(b"content")
    identity = identify(tmp_path / "file")
    assert IdentityMemory(home).recall(tmp_path / "file") is None
    IdentityMemory(home).remember(tmp_path / "file", identity)
    assert IdentityMemory(home).recall(tmp_path / "file") == identity


def test_a_changed_file_is_not_recalled_even_with_its_old_time(tmp_path: Path, home: Home) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    identity, status = identify(file), file.stat()
    IdentityMemory(home).remember(file, identity)
    while file.stat().st_ctime_ns == status.st_ctime_ns:  # The file system's clock may be coarse.
        file.write_bytes(b"another")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert IdentityMemory(home).recall(file) is None


def test_a_broken_record_is_no_record(tmp_path: Path, home: Home) -> None:
    (tmp_path / "file").write_bytes(b"content")
    IdentityMemory(home).remember(tmp_path / "file", identify(tmp_path / "file"))
    for record in (home.data / "identities").iterdir():
        record.write_text('{"identity": []}')
    assert IdentityMemory(home).recall(tmp_path / "file") is None


def test_a_home_that_cannot_be_written_remembers_nothing(tmp_path: Path, home: Home) -> None:
    (tmp_path / "file").write_bytes(b"content")
    home.root.write_text("in the way")
    IdentityMemory(home).remember(tmp_path / "file", identify(tmp_path / "file"))
    assert IdentityMemory(home).recall(tmp_path / "file") is None
