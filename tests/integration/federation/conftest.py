"""Engines and worker processes that can import what is beside these tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def probe_is_importable() -> Iterator[None]:
    """`probe_client` and `round_client` can be imported wherever an engine puts its sites.

    Workers take this process's `sys.path`; Ray's actors and other programs get it from `PYTHONPATH`.
    """
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(here)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
        yield


@pytest.fixture(scope="session", autouse=True)
def ray_leaves_no_files() -> Iterator[None]:
    """Ray's logs and sockets go to a folder that is removed; its path is short, for sockets' paths are limited."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)
        yield
