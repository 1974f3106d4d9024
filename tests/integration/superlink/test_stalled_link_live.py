"""A run whose SuperLink takes its requests and answers none: it hears a stop all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.serverapp import ServerApp

from fedforge_runtime.control import Desired, obey
from fedforge_runtime.errors import RunStoppedError
from fedforge_runtime.federation.engines.base import Federation
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.superlink.address import LinkAddress, free_port
from fedforge_runtime.federation.superlink.driver import driven_run
from fedforge_runtime.federation.superlink.link_process import LinkProcess
from fedforge_runtime.telemetry.emitter import Emitter
from tests.bad_link import BadLink
from tests.patience import PATIENCE_SECONDS


class Wish:
    """What the operator wants, which a test may change."""

    def __init__(self) -> None:
        self.wish: Desired = "run"

    def desired(self) -> Desired:
        return self.wish


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkAddress]:
    process = LinkProcess(LinkAddress("127.0.0.1", free_port()), tmp_path_factory.mktemp("link"))
    process.start()
    try:
        process.wait_until_ready()
        yield process.address
    finally:
        process.end()


@pytest.mark.parametrize("when", ["while it is submitted", "while its nodes connect"])
def test_a_stop_is_heard_by_a_run_whose_superlink_does_not_answer(when: str, link: LinkAddress, tmp_path: Path) -> None:
    wish, ended = Wish(), threading.Event()
    caught: list[BaseException] = []
    connecting = threading.Event()

    def run(address: LinkAddress) -> None:
        federation = Federation(server_app=ServerApp(), run_config={}, clients=2, workers=1)
        try:
            with (
                obey(wish),
                Emitter(tmp_path / "events.jsonl", run_id="run", role="server") as emitter,
                driven_run(address, federation) as (inner, _),
            ):
                grid = RunGrid(inner, control=wish, emitter=emitter, sites=[0, 1])
                connecting.set()
                grid.discover(2, timeout=PATIENCE_SECONDS)
        except BaseException as error:
            caught.append(error)
        finally:
            ended.set()

    with BadLink(link.port) as between:
        if when == "while it is submitted":
            between.stall()
        thread = threading.Thread(target=run, args=(LinkAddress("127.0.0.1", between.port),), daemon=True)
        thread.start()
        if when == "while its nodes connect":
            assert connecting.wait(PATIENCE_SECONDS)
            between.stall()
        struck(between)
        asking = [each for each in threading.enumerate() if each.name == "call"]
        wish.wish = "stop"
        assert ended.wait(PATIENCE_SECONDS)
        assert any(each.is_alive() for each in asking), "it has waited until Flower gave the request up"

    assert [type(error) for error in caught] == [RunStoppedError]


def struck(between: BadLink) -> None:
    """Wait until the run has met the fault."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not between.struck:
        assert time.monotonic() < deadline
        time.sleep(0.01)
