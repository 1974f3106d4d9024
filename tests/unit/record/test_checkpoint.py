"""Checkpoints are complete or absent, whatever happens to the process that writes them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedforge_runtime.errors import RunError
from fedforge_runtime.learning.parameters import initial_head
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.record.checkpoint import Checkpoint, CheckpointStore
from fedforge_runtime.record.records import RoundRecord

# Saves rounds 0 and 1, then round 2 up to the moment that the arguments name, and is killed there.
KILLED_WHILE_SAVING = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint import CheckpointStore, checkpoint

store = CheckpointStore(pathlib.Path(sys.argv[2]))
for number in (0, 1):
    store.save(checkpoint(number))

owner, name = {"fsync": (os, "fsync"), "rename": (pathlib.Path, "rename")}[sys.argv[3]]
calls_left, original = int(sys.argv[4]), getattr(owner, name)

def die_at_last(*arguments):
    global calls_left
    calls_left -= 1
    if not calls_left:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)

setattr(owner, name, die_at_last)
store.save(checkpoint(2))
"""


def record(number: int) -> RoundRecord:
    return RoundRecord(
        round=number,
        model_sha256="0" * 64,
        participants=[0, 1],
        failures={2: "train: no answer within 1 s"},
        seconds=0.5,
        bytes_sent=10,
        bytes_received=20,
        training_loss=0.1 + 0.2,
        validation_metrics={"loss": 1 / 3},
        clients=[],
    )


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(
        round=number,
        parameters=initial_head(8, 3, seed=number),
        server_state={"momentum_vector#00000": np.full((3, 8), number, dtype=np.float64)},
        standardisation=Standardisation(np.arange(8, dtype=np.float32), np.full(8, 2, dtype=np.float32)),
        records=[record(each) for each in range(1, number + 1)],
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_there_is_no_checkpoint_before_the_first(store: CheckpointStore) -> None:
    assert store.latest() is None


def test_what_is_saved_is_what_is_found(store: CheckpointStore) -> None:
    for number in range(3):
        store.save(checkpoint(number))

    found, saved = store.latest(), checkpoint(2)

    assert found is not None
    assert found.round == 2
    assert found.records == saved.records
    assert found.model_sha256 == saved.model_sha256
    assert found.server_state.keys() == saved.server_state.keys()
    for name, value in saved.server_state.items():
        np.testing.assert_array_equal(found.server_state[name], value)
        assert found.server_state[name].dtype == value.dtype
    assert found.standardisation is not None
    np.testing.assert_array_equal(found.standardisation.mean, saved.standardisation.mean)  # type: ignore[union-attr]
    np.testing.assert_array_equal(found.standardisation.scale, saved.standardisation.scale)  # type: ignore[union-attr]


def test_a_checkpoint_without_state_or_standardisation_stays_without(store: CheckpointStore) -> None:
    store.save(Checkpoint(0, initial_head(4, 2, seed=1), {}, None, []))

    found = store.latest()

    assert found is not None
    assert (found.server_state, found.standardisation, found.records) == ({}, None, [])


def test_a_round_that_is_done_again_replaces_its_checkpoint(store: CheckpointStore) -> None:
    store.save(checkpoint(0))
    store.save(Checkpoint(0, initial_head(8, 3, seed=99), {}, None, []))

    found = store.latest()

    assert found is not None
    assert found.model_sha256 == Checkpoint(0, initial_head(8, 3, seed=99), {}, None, []).model_sha256
    assert found.server_state == {}


@pytest.mark.parametrize(("call", "number"), [("fsync", 1), ("fsync", 2), ("fsync", 4), ("rename", 1)])
def test_a_process_killed_while_saving_leaves_the_checkpoint_before(call: str, number: int, tmp_path: Path) -> None:
    arguments = [str(Path(__file__).parent), str(tmp_path), call, str(number)]
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, *arguments], check=False)

    found = CheckpointStore(tmp_path).latest()

    assert killed.returncode == -9
    assert found is not None
    assert found.model_sha256 == checkpoint(1).model_sha256
    CheckpointStore(tmp_path).save(checkpoint(2))
    assert CheckpointStore(tmp_path).latest().round == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ["flipped bit", "cut short", "empty", "missing"])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "server_state.safetensors", "standardisation.safetensors", "manifest.json"]
)
def test_a_damaged_checkpoint_is_refused(store: CheckpointStore, name: str, damage: str) -> None:
    store.save(checkpoint(0))
    path = store.save(checkpoint(1)) / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "flipped bit":
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut short" else b"")

    with pytest.raises(RunError, match="round-00001 is damaged") as refused:
        store.latest()

    assert refused.value.remedy.startswith("Remove that folder")


def test_without_its_damaged_folder_the_checkpoint_before_is_used(store: CheckpointStore) -> None:
    store.save(checkpoint(0))
    damaged = store.save(checkpoint(1))
    shutil.rmtree(damaged)

    found = store.latest()

    assert found is not None
    assert found.model_sha256 == checkpoint(0).model_sha256


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b"\xff\xfe", b"null", b"[]", b'{"files": 3}', b'{"files": {}, "record": {}}']
)
def test_a_manifest_of_any_damage_is_a_damaged_checkpoint(content: bytes, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    folder = store.save(checkpoint(1))
    (folder / "manifest.json").write_bytes(content)

    with pytest.raises(RunError, match=f"{folder} is damaged"):
        store.latest()


def test_a_manifest_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    manifest = store.save(checkpoint(1)) / "manifest.json"
    manifest.unlink()
    manifest.mkdir()

    with pytest.raises(IsADirectoryError):
        store.latest()
