"""One monitor for the tests of a module that leave it running."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.monitor_process import MonitorProcess


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorProcess]:
    with MonitorProcess(tmp_path_factory.mktemp("home")) as process:
        yield process


@pytest.fixture
def client(monitor: MonitorProcess) -> Iterator[httpx.Client]:
    with monitor.client() as client:
        yield client
