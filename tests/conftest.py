"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with real images in MedMNIST's format: `bloodmnist.npz`, `dermamnist.npz`, `pathmnist.npz`."""
    named = os.environ.get("FEDFORGE_REAL_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data" / "medmnist"
    if not (folder / "bloodmnist.npz").is_file():
        pytest.skip(f"no real images in {folder}; set FEDFORGE_REAL_DATA to a folder with bloodmnist.npz")
    return folder


@pytest.fixture(scope="session")
def real_backbone() -> Path:
    """A folder with the pretrained DeiT-tiny checkpoint in Hugging Face's format."""
    named = os.environ.get("FEDFORGE_REAL_BACKBONE")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "models" / "deit-tiny-patch16-224"
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no pretrained weights in {folder}; set FEDFORGE_REAL_BACKBONE to a checkpoint folder")
    return folder
