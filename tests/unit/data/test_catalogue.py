"""What medmnist says of its archives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fedforge_runtime.data.sources.catalogue import official_archive

FLAGS = ("bloodmnist", "dermamnist", "pathmnist")


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_an_entry_is_that_of_the_package(flag: str, size: int) -> None:
    import medmnist

    info, suffix = medmnist.INFO[flag], "" if size == 28 else f"_{size}"
    archive = official_archive(flag, size)
    assert archive.file_name == f"{flag}{suffix}.npz"
    assert archive.md5 == info[f"MD5{suffix}"]
    assert archive.url == info[f"url{suffix}"]
    assert archive.host == "zenodo.org"
    assert archive.title == info["python_class"]
    assert archive.licence == info["license"]
    assert archive.rows == {
        "train": info["n_samples"]["train"],
        "validation": info["n_samples"]["val"],
        "test": info["n_samples"]["test"],
    }
    assert dict(enumerate(archive.class_names)) == {int(key): name for key, name in info["label"].items()}


def test_it_is_read_without_loading_the_package_and_says_the_same() -> None:
    script = (
        "import sys; from fedforge_runtime.data.sources.catalogue import official_archive\n"
        f"for flag in {FLAGS}: print(official_archive(flag, 64))\n"
        "assert not {'medmnist', 'torch'} & set(sys.modules)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    import medmnist

    assert medmnist.INFO
    assert output.splitlines() == [str(official_archive(flag, 64)) for flag in FLAGS]
