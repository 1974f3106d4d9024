"""An artifact is there whole or not at all, and each is built once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.errors import RunStoppedError, StorageError
from fedforge_runtime.storage.artifacts import (
    ArtifactStore,
    canonical_json,
    publish_folder,
    read_json,
    sha256_file,
    write_atomically,
    write_json,
)
from fedforge_runtime.storage.home import Home

INPUTS = {"flag": "bloodmnist", "code": 1}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

# Builds in the home argv[1]; the builder writes half of its work, says so, and waits to be killed or to go on.
SLOW_BUILDER = """
import sys
from pathlib import Path
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.storage.home import Home

def builder(folder):
    (folder / "half").write_text("half of the work")
    print("building", flush=True)
    sys.stdin.readline()
    (folder / "rest").write_text("the rest")
    return {}

print("starting", flush=True)
artifact = ArtifactStore(Home(Path(sys.argv[1]))).build(
    "dataset", {"flag": "bloodmnist", "code": 1}, builder, resumable=sys.argv[2] == "resumable"
)
print("created" if artifact.created else "found", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> ArtifactStore:
    return ArtifactStore(home)


def write_rows(folder: Path) -> Mapping[str, Any]:
    (folder / "part").mkdir()
    (folder / "part" / "rows").write_bytes(b"rows")
    return {"rows": 4}


# Keys


@given(value=st.dictionaries(st.text(), JSON_VALUES, max_size=4))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_is_no_json(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"value": value})


def test_a_key_depends_on_the_kind_and_on_every_input(store: ArtifactStore) -> None:
    keys = [
        store.key("dataset", INPUTS),
        store.key("partition", INPUTS),
        store.key("dataset", {**INPUTS, "code": 2}),
        store.key("dataset", {**INPUTS, "more": None}),
    ]

    assert len(set(keys)) == 4
    assert all(len(key) == 20 for key in keys)
    assert store.key("dataset", dict(reversed(INPUTS.items()))) == keys[0]


# Building


def test_what_is_built_is_found_under_its_key_with_a_manifest_of_its_files(store: ArtifactStore) -> None:
    built = store.build("dataset", INPUTS, write_rows)

    assert built.created
    assert built.path.name == built.key == store.key("dataset", INPUTS)
    assert built.manifest["kind"] == "dataset"
    assert built.manifest["inputs"] == INPUTS
    assert built.manifest["facts"] == {"rows": 4}
    assert built.manifest["files"] == {"part/rows": {"bytes": 4, "sha256": sha256_file(built.path / "part" / "rows")}}
    found = store.find("dataset", built.key)
    assert found is not None
    assert found.path == built.path
    assert not found.created


def test_an_artifact_is_not_built_again(store: ArtifactStore) -> None:
    store.build("dataset", INPUTS, write_rows)

    again = store.build("dataset", INPUTS, fail_if_called)

    assert not again.created
    assert (again.path / "part" / "rows").read_bytes() == b"rows"


def test_there_is_nothing_under_an_unknown_key(store: ArtifactStore) -> None:
    assert store.find("dataset", "0" * 20) is None


@pytest.mark.parametrize("resumable", [False, True])
def test_a_builder_that_raises_leaves_no_artifact(store: ArtifactStore, home: Home, resumable: bool) -> None:
    def builder(folder: Path) -> Mapping[str, Any]:
        write_rows(folder)
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        store.build("dataset", INPUTS, builder, resumable=resumable)

    assert store.find("dataset", store.key("dataset", INPUTS)) is None
    assert bool(partials(home)) == resumable


def test_a_resumable_builder_finds_its_earlier_work(store: ArtifactStore) -> None:
    def interrupted(folder: Path) -> Mapping[str, Any]:
        write_rows(folder)
        raise KeyboardInterrupt

    def resumed(folder: Path) -> Mapping[str, Any]:
        assert (folder / "part" / "rows").read_bytes() == b"rows"
        return {}

    with pytest.raises(KeyboardInterrupt):
        store.build("dataset", INPUTS, interrupted, resumable=True)

    assert store.build("dataset", INPUTS, resumed, resumable=True).created


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_full_or_read_only_disk_is_a_storage_error_and_nothing_is_left(
    store: ArtifactStore, home: Home, number: int
) -> None:
    def builder(folder: Path) -> Mapping[str, Any]:
        write_rows(folder)
        raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError) as refused:
        store.build("dataset", INPUTS, builder)

    assert os.strerror(number) in str(refused.value)
    assert "--home DIR" in refused.value.remedy
    assert partials(home) == []
    assert store.find("dataset", store.key("dataset", INPUTS)) is None


def test_a_home_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")

    with pytest.raises(StorageError, match=r"cannot open .*home.*(File exists|Not a directory)"):
        ArtifactStore(Home(tmp_path / "home")).build("dataset", INPUTS, fail_if_called)


# Several processes


def test_a_builder_that_is_killed_leaves_no_artifact_and_the_next_build_works(store: ArtifactStore, home: Home) -> None:
    kill_in_the_middle(home, "from the beginning")

    assert store.find("dataset", store.key("dataset", INPUTS)) is None
    built = store.build("dataset", INPUTS, write_rows)
    assert built.created
    assert sorted(path.name for path in built.path.iterdir()) == ["manifest.json", "part"]


def test_the_work_of_a_resumable_builder_that_is_killed_is_kept(store: ArtifactStore, home: Home) -> None:
    kill_in_the_middle(home, "resumable")

    built = store.build("dataset", INPUTS, lambda folder: {"found": (folder / "half").read_text()}, resumable=True)

    assert built.manifest["facts"] == {"found": "half of the work"}


def test_of_two_processes_that_want_one_artifact_one_builds(home: Home) -> None:
    first, second = start_builder(home, ""), None
    try:
        assert first.stdout is not None
        assert first.stdin is not None
        assert [first.stdout.readline() for _ in range(2)] == ["starting\n", "building\n"]
        second = start_builder(home, "")
        assert second.stdout is not None
        assert second.stdout.readline() == "starting\n"
        first.stdin.write("go on\n")
        first.stdin.flush()

        assert first.stdout.read() == "created\n"
        assert second.stdout.read() == "found\n"
    finally:
        for process in (first, second):
            end(process)


# Single files and folders


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays_and_no_other_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@given(value=JSON_VALUES)
def test_json_comes_back_as_it_was_written(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"

    write_json(path, value)

    assert read_json(path) == value


def test_a_folder_appears_under_its_final_name_alone(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    (temporary / "inner").mkdir(parents=True)
    (temporary / "inner" / "file").write_text("content")

    publish_folder(temporary, tmp_path / "final")

    assert not temporary.exists()
    assert (tmp_path / "final" / "inner" / "file").read_text() == "content"


def fail_if_called(folder: Path) -> Mapping[str, Any]:
    raise AssertionError("the builder was called")


def partials(home: Home) -> list[Path]:
    return list((home.assets / "dataset").glob(".*.partial"))


def start_builder(home: Home, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILDER, str(home.root), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_in_the_middle(home: Home, mode: str) -> None:
    process = start_builder(home, mode)
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["starting\n", "building\n"]
    finally:
        end(process)


def end(process: subprocess.Popen[str] | None) -> None:
    if process:
        process.kill()
        process.communicate()


def test_who_waits_for_another_process_to_build_the_same_hears_a_stop(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    building, release = threading.Event(), threading.Event()

    def build_slowly(folder: Path) -> dict[str, Any]:
        building.set()
        release.wait()
        return {}

    def stopped() -> None:
        raise RunStoppedError("stopped: on request.")

    builder = threading.Thread(target=lambda: ArtifactStore(home).build("thing", {"a": 1}, build_slowly))
    builder.start()
    try:
        building.wait()
        with pytest.raises(RunStoppedError):
            ArtifactStore(home, stopped).build("thing", {"a": 1}, lambda folder: {})
    finally:
        release.set()
        builder.join()
    assert not ArtifactStore(home, stopped).build("thing", {"a": 1}, lambda folder: {}).created
