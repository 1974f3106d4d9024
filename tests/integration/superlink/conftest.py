"""A SuperLink in plain text on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkAddress]:
    """Where it is; one for the tests of a module."""
    process = LinkProcess(LinkAddress("127.0.0.1", free_port()), tmp_path_factory.mktemp("link"))
    process.start()
    try:
        process.wait_until_ready()
        yield process.address
    finally:
        process.end()
