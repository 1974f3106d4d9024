"""Fixtures for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from tests.support.monitor_process import MonitorProcess

hypothesis.settings.register_profile("suite", deadline=None)  # a machine that is busy is no fault
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests load, PyTorch and Dagster among it, all stays: it is not looked at for garbage, now and later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorProcess]:
    """One monitor for the tests of a module that leave it running."""
    with MonitorProcess(tmp_path_factory.mktemp("monitor-home")) as process:
        yield process


@pytest.fixture
def client(monitor: MonitorProcess) -> Iterator[httpx.Client]:
    """Speaks to the module's monitor."""
    with monitor.client() as client:
        yield client


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with real images in MedMNIST's format: `bloodmnist.npz`, `dermamnist.npz`, `pathmnist.npz`."""
    return _folder_or_skip("FEDFORGE_REAL_DATA", "data/medmnist", "bloodmnist.npz")


@pytest.fixture(scope="session")
def real_backbone() -> Path:
    """A folder with the pretrained DeiT-tiny checkpoint in Hugging Face's format."""
    return _folder_or_skip("FEDFORGE_REAL_BACKBONE", "models/deit-tiny-patch16-224", "model.safetensors")


def _folder_or_skip(variable: str, default: str, file: str) -> Path:
    """The folder that an environment variable names, else one beside the repository, when it holds `file`."""
    named = os.environ.get(variable)
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / default
    if not (folder / file).is_file():
        pytest.skip(f"no {file} in {folder}; set {variable} to a folder that has it")
    return folder
