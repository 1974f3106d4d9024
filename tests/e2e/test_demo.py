"""The demo works anywhere, without a network too, and says what its numbers are worth."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import fedforge


@pytest.fixture
def no_network() -> Iterator[dict[str, str]]:
    """An environment whose proxies and hub are a port on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        yield {"https_proxy": nowhere, "http_proxy": nowhere, "no_proxy": "", "HF_ENDPOINT": nowhere}


def test_the_demo_runs_without_a_network_and_names_its_stand_ins(
    tmp_path: Path, no_network: dict[str, str], temporary_files: Path
) -> None:
    temporary = temporary_files / "own"
    temporary.mkdir()
    done = fedforge("demo", "--home", tmp_path / "home", environment={**no_network, "TMPDIR": str(temporary)})
    assert done.code == 0, done.errors
    assert not list(temporary.iterdir())
    told = " ".join(done.errors.split())
    assert "Phantom images stand in for it" in told
    assert "An untrained backbone stands in for it" in told
    assert "PHANTOM DATA" in told
    assert "UNTRAINED BACKBONE" in told
    assert "Traceback" not in told

    assert "completed, 3 of 3 rounds" in done.output
    assert "PHANTOM DATA, UNTRAINED BACKBONE" in done.output
    tables = [line for line in done.output.splitlines() if line.startswith("│")]
    assert len(tables) == 3 + 3 + 6  # rounds, clients, and what the result is compared with
    paths = [
        Path(line.split(maxsplit=1)[1]) for line in done.output.splitlines() if line.startswith(("model  /", "run "))
    ]
    assert (tmp_path / "home") in paths[-1].parents
    assert (paths[-1] / "model" / "model.safetensors").is_file()
    assert paths[-1] / "model" in paths
