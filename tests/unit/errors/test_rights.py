"""Files have the rights that the umask gives; a right that is lacking is called so, with the file and the user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedforge_runtime.commands.output import command
from fedforge_runtime.errors import OutputError
from fedforge_runtime.storage.artifacts import ArtifactStore, children, publish_folder
from fedforge_runtime.storage.home import Home
from fedforge_runtime.storage.run_ids import list_runs
from tests.support.patience import PATIENCE_SECONDS

_NOBODY = 65534


def rights(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def write_weights(folder: Path) -> None:
    save_file({"weights": np.zeros(3, dtype=np.float32)}, folder / "model.safetensors")
    os.chmod(folder / "model.safetensors", 0o600)  # as safetensors makes it


@pytest.fixture
def umask() -> None:
    """What a shared machine has: the group and others may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_weights_are_published_for_whom_the_umask_lets_read(tmp_path: Path) -> None:
    artifact = ArtifactStore(Home(tmp_path / "home")).build("model", {}, lambda folder: write_weights(folder) or {})

    assert rights(artifact.path / "model.safetensors") == "0o644"
    assert rights(artifact.path) == "0o755"


@pytest.mark.usefixtures("umask")
def test_what_is_private_stays_so(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    write_weights(tmp_path / "partial")

    publish_folder(tmp_path / "partial", tmp_path / "final", private=True)

    assert rights(tmp_path / "final" / "model.safetensors") == "0o600"


_PROGRAM = """
import os, sys
from pathlib import Path
import numpy, safetensors.numpy
from fedforge_runtime.data.features.backbone import _tensor_names
from fedforge_runtime.storage.run_ids import list_runs
from fedforge_runtime.storage.home import Home
from fedforge_runtime.learning.predictions import read_predictions
from fedforge_runtime.errors.system import explained

READERS = {
    "backbone": lambda path: _tensor_names(path, "?"),
    "predictions": read_predictions,
    "runs": lambda path: list_runs(Home(path)),
}
if os.geteuid() == 0:
    os.setuid(int(sys.argv[3]))
try:
    READERS[sys.argv[1]](Path(sys.argv[2]))
except Exception as error:
    print(explained(error) or error)
else:
    print("no error")
"""


def said_of(reader: str, path: Path) -> str:
    """What is said of the error that reading raises where the user has no rights."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, reader, str(path), str(_NOBODY)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("reader", ["backbone", "predictions"])
def test_weights_that_may_not_be_read_are_not_said_to_be_missing(reader: str, tmp_path: Path) -> None:
    write_weights(tmp_path)
    file = tmp_path / "model.safetensors"
    file.chmod(0)

    said = said_of(reader, file)

    assert f"may not open {file}: Permission denied. Give this user the right to it" in said
    assert said.startswith("the user ")


def test_runs_that_may_not_be_listed_are_not_said_to_be_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.runs.mkdir()
    home.runs.chmod(0)

    assert f"may not open {home.runs}: Permission denied" in said_of("runs", tmp_path)
    home.runs.chmod(0o755)
    assert list_runs(home) == children(tmp_path / "absent") == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("as_json", [False, True])
def test_output_that_cannot_be_written_is_told_from_what_was_done(as_json: bool) -> None:
    kept = os.dup(1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    try:
        with (
            pytest.raises(OutputError, match=r"standard output: No space left on device\. What the command was asked"),
            command(as_json=as_json) as emit,
        ):
            emit({"value": 1}, lambda value: os.write(1, b"value 1\n"))
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(full)
