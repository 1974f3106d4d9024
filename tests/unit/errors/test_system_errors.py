"""Each refusal of the operating system or the network has words and a remedy of its own, and claims nothing else."""

from __future__ import annotations

import errno
import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import pytest
from filelock import FileLock
from PIL import Image

from fedforge_runtime.commands.output import run_guarded
from fedforge_runtime.errors import DataError, FedForgeError, NetworkError, ResourceError, StorageError
from fedforge_runtime.errors.system import explain, explained
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.storage.home import Home


def refused(action: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the library raises is the subject
        action()
    return caught.value


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    said = str(explain(refused((tmp_path / "absent").read_bytes)))  # type: ignore[arg-type]

    assert said == f"cannot find {tmp_path / 'absent'}: No such file or directory. Restore it, or name another."


def test_a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for action in (tmp_path.read_bytes, (tmp_path / "file" / "below").mkdir):
        failure = explained(refused(action))
        assert isinstance(failure, StorageError)
        assert f"cannot open {tmp_path}" in failure.message
        assert "in the way" in failure.remedy


def test_a_name_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    said = str(explained(refused((tmp_path / ("x" * 300)).touch)))

    assert "File name too long. Give a shorter name" in said


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, closing(socket.socket()) as other:
        failure = explained(refused(lambda: other.bind(taken.getsockname())))

    assert isinstance(failure, NetworkError)
    assert "Address already in use" in failure.message
    assert "another port" in failure.remedy


def test_a_refused_connection_is_said_to_be_whoever_asked(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/file"

    for action in (
        lambda: socket.create_connection(("127.0.0.1", closed_port)),
        lambda: httpx.get(url, trust_env=False),
        lambda: urlopen(url),
    ):
        failure = explained(refused(action))
        assert isinstance(failure, NetworkError)
        assert "Connection refused" in failure.message
        assert "other side" in failure.remedy
    assert url in str(explained(refused(lambda: httpx.get(url, trust_env=False))))


def test_a_host_without_an_address_is_a_failed_connection() -> None:
    failure = explained(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    assert isinstance(failure, NetworkError)
    assert "Name or service not known" in failure.message


def test_a_picture_that_is_none_or_is_cut_short_is_said_to_be_broken(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, format="PNG")
    cut = whole.getvalue()[:1000]

    for content in (b"no picture", cut):
        failure = explained(refused(lambda content=content: Image.open(io.BytesIO(content)).load()), tmp_path)
        assert isinstance(failure, DataError)
        assert f"an image below {tmp_path} is broken" in failure.message
        assert "object at" not in failure.message


def test_too_many_open_files_are_told_from_a_full_disk() -> None:
    code = (
        "import resource; from fedforge_runtime.errors.system import explain\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "try: held = [open('/dev/null') for _ in range(50)]\n"
        "except OSError as error: print(explain(error))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "Too many open files. Raise the limit (ulimit -n" in said


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_fork_that_fails_names_memory_and_processes(number: int) -> None:
    failure = explained(OSError(number, os.strerror(number)))

    assert isinstance(failure, ResourceError)
    assert os.strerror(number) in failure.message
    assert "runtime.workers=1" in failure.remedy


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_alone_is_told_to_be_freed(number: int, tmp_path: Path) -> None:
    said = str(explain(OSError(number, os.strerror(number)), tmp_path))

    assert said.startswith(f"cannot write below {tmp_path}: {os.strerror(number)}. Free some space")


def test_no_other_refusal_claims_a_full_disk_or_a_file_that_it_does_not_know() -> None:
    for number in sorted(set(errno.errorcode) - {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}):
        said = str(explain(OSError(number, os.strerror(number))))
        assert "Free some space" not in said, said
        assert os.strerror(number).rstrip(".") in said
        assert " :" not in said


def test_what_a_copy_did_not_copy_is_named(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "weights").symlink_to(tmp_path / "gone")

    said = str(explained(refused(lambda: shutil.copytree(source, tmp_path / "copy"))))

    assert said.startswith(f"cannot find {source / 'weights'}: No such file")


def test_a_lock_that_is_held_too_long_is_said_to_be(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock"):
        said = str(explained(refused(lambda: FileLock(tmp_path / "lock", timeout=0).acquire())))

    assert str(tmp_path / "lock") in said


def test_what_is_no_refusal_is_left_to_others() -> None:
    assert explained(ValueError("a defect")) is None
    assert explained(FedForgeError("known already")) is None
    assert explained(KeyboardInterrupt()) is None


def test_an_artifact_whose_builder_meets_a_broken_picture_does_not_ask_for_space(tmp_path: Path) -> None:
    def builder(folder: Path) -> Mapping[str, Any]:
        Image.open(io.BytesIO(b"no picture"))
        return {}

    with pytest.raises(DataError, match="is broken") as failure:
        ArtifactStore(Home(tmp_path)).build("dataset", {}, builder)
    assert "space" not in str(failure.value)


def test_a_command_that_is_refused_a_connection_says_so_in_one_line(
    closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_guarded(lambda: httpx.get(f"http://127.0.0.1:{closed_port}", trust_env=False))

    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a connection failed: ")
    assert "defect" not in line
