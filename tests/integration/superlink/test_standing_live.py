"""A federation that stands: it is ready whenever its SuperLink answers, and starts the apps of `flwr run`."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.superlink.app.driver import control_client
from fedforge_runtime.engines.superlink.app.executor import ServerAppExecutor
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.standing import FederationState, read_federation
from fedforge_runtime.flower import protocol
from fedforge_runtime.storage.home import Home
from tests.support.patience import PATIENCE_SECONDS

OWNER = """
import signal, sys
from pathlib import Path
from fedforge_runtime.engines.superlink.link import link_process
from fedforge_runtime.engines.superlink.standing import StandingFederation, StandingSpec
from fedforge_runtime.storage.home import Home

if __name__ == "__main__":
    # What a start may take in one go, from then on.
    signal.signal(signal.SIGUSR1, lambda *_: setattr(link_process, "_STALLED_SECONDS", 1.0))
    home = Home(Path(sys.argv[1]))
    StandingFederation(StandingSpec("127.0.0.1", int(sys.argv[2]), nodes=0), home).serve()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def owner(home: Home, tmp_path: Path) -> Iterator[psutil.Process]:
    """The process that owns a federation without nodes."""
    program = tmp_path / "owner.py"
    program.write_text(OWNER)
    process = subprocess.Popen(
        [sys.executable, str(program), str(home.root), str(free_port())],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


def test_a_superlink_that_takes_long_to_start_again_makes_the_federation_ready_once_it_answers(
    home: Home, owner: psutil.Process
) -> None:
    first = wait_until(lambda: state_where(home, lambda state: state.ready and state.link_process_id is not None))
    owner.send_signal(signal.SIGUSR1)
    psutil.Process(first.link_process_id).kill()
    second = wait_until(
        lambda: state_where(home, lambda state: state.link_process_id not in (None, first.link_process_id))
    )
    assert not second.ready
    link = psutil.Process(second.link_process_id)
    link.suspend()  # longer than anybody waits for a start in one go

    stalled_at = time.monotonic()
    while time.monotonic() - stalled_at < 3.0:
        state = read_federation(home)
        assert state is None or not state.ready
        time.sleep(0.1)
    link.resume()

    again = wait_until(lambda: state_where(home, lambda state: state.ready))
    assert (again.link_process_id, again.link_restarts) == (second.link_process_id, 1)


def state_where(home: Home, wanted: Callable[[FederationState], bool]) -> FederationState | None:
    state = read_federation(home)
    return state if state is not None and wanted(state) else None


@pytest.fixture
def link(tmp_path: Path) -> Iterator[LinkProcess]:
    folder = tmp_path / "link"
    folder.mkdir()
    process = LinkProcess(LinkAddress("127.0.0.1", free_port()), folder)
    process.start()
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.end()


def test_a_serverapp_that_cannot_be_started_ends_its_run_with_the_reason_and_the_next_one_is_started(
    link: LinkProcess, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.federation.write_text("where the folder for tokens and logs should be")
    with ServerAppExecutor(link.address, home):
        first = submit(link.address)
        status = wait_until(lambda: status_where(link.address, first, lambda status: status.status == "finished"))
        assert status.sub_status == protocol.SubStatus.FAILED
        assert "the ServerApp cannot be started" in status.details

        home.federation.unlink()
        home.federation.mkdir()
        second = submit(link.address)
        wait_until((home.federation / f"serverapp-{second}.log").exists)


def submit(address: LinkAddress) -> int:
    """A run of an app that is somebody's own, as `flwr run` starts one."""
    project = (
        '[project]\nname = "somebodys-app"\nversion = "1.0.0"\ndescription = "none"\nlicense = "Apache-2.0"\n'
        'dependencies = []\n[tool.flwr.app]\npublisher = "somebody"\n[tool.flwr.app.components]\n'
        'serverapp = "app:server"\nclientapp = "app:client"\n'
    )
    files = {"pyproject.toml": project.encode(), "app.py": b"server = client = None\n"}
    bundle = protocol.build_bundle(files)
    fab = protocol.fab_to_proto(protocol.Fab(hashlib.sha256(bundle).hexdigest(), bundle, {}))
    with control_client(address) as control:
        return int(control.StartRun(protocol.StartRunRequest(fab=fab)).run_id)


def status_where(address: LinkAddress, run_id: int, wanted: Callable[[Any], bool]) -> Any:
    with control_client(address) as control:
        status = control.ListRuns(protocol.ListRunsRequest(run_id=run_id)).run_dict[run_id].status
    return status if wanted(status) else None


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"it did not happen within {PATIENCE_SECONDS:g} s")
