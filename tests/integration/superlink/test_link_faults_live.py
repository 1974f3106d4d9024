"""What lies between a SuperLink and its runs and nodes may answer nothing, or something else."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from flwr.serverapp import ServerApp

from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink import certificates
from fedforge_runtime.engines.superlink.app.driver import driven_run, node_states
from fedforge_runtime.engines.superlink.certificates import node_identity
from fedforge_runtime.engines.superlink.node.fleet import FleetConnection
from fedforge_runtime.engines.superlink.node.link_answers import LinkAwayError
from fedforge_runtime.errors import RunFailedError, RunStoppedError
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.telemetry.control import Desired, obey
from fedforge_runtime.telemetry.emitter import Emitter
from tests.support.bad_link import BadLink
from tests.support.patience import PATIENCE_SECONDS


class Wish:
    """What the operator wants, which a test may change."""

    def __init__(self) -> None:
        self.wish: Desired = "run"

    def desired(self) -> Desired:
        return self.wish


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


@pytest.fixture
def between(link: LinkAddress) -> Iterator[BadLink]:
    """What lies between a node and the SuperLink."""
    with BadLink(link.port) as between:
        yield between


@pytest.fixture
def node(between: BadLink, tmp_path: Path) -> Iterator[FleetConnection]:
    """A node that is connected."""
    keys = node_identity(None, tmp_path / "a.key")
    node = FleetConnection(LinkAddress("127.0.0.1", between.port), keys, registered=False)
    node.connect()
    yield node
    node.close()


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500, 502])
def test_what_a_proxy_answers_a_node_is_no_word_of_its_superlinks(
    status: int, between: BadLink, node: FleetConnection
) -> None:
    between.answer(status, {"Location": "/sign-in"} if status == 302 else None)

    with pytest.raises(LinkAwayError):
        node.receive()
    with pytest.raises(LinkAwayError):
        node.run_config(1)
    between.pass_on()
    assert node.receive() is None


@pytest.mark.parametrize("change", [BadLink.reset, BadLink.refuse, BadLink.cut_answers])
def test_a_node_whose_line_is_cut_is_there_again_with_the_next_request(
    change: Callable[[BadLink], None], between: BadLink, node: FleetConnection
) -> None:
    change(between)

    with pytest.raises(LinkAwayError):
        node.receive()
    between.pass_on()
    assert node.receive() is None


@pytest.fixture
def stranger(between: BadLink, tmp_path: Path) -> FleetConnection:
    """A node that was never connected."""
    keys = node_identity(None, tmp_path / "stranger.key")
    return FleetConnection(LinkAddress("127.0.0.1", between.port), keys, registered=False)


def test_a_node_that_comes_before_its_superlink_says_so_and_is_connected_once_that_is_there(
    between: BadLink, stranger: FleetConnection
) -> None:
    between.reset()
    with pytest.raises(LinkAwayError, match="its SuperLink may not be there yet, behind a proxy or a tunnel"):
        stranger.connect()
    between.answer(404, body=b'{"detail":"Not Found"}', content_type="application/json")
    with pytest.raises(LinkAwayError, match="what answers there is no SuperLink: HTTP 404"):
        stranger.connect()
    between.pass_on()

    stranger.connect()

    assert stranger.receive() is None
    stranger.close()


@pytest.mark.parametrize("days", [-400, 400])
def test_a_certificate_of_another_time_is_told_with_both_clocks(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_at = utc_now() + timedelta(days=days)
    monkeypatch.setattr(certificates, "utc_now", lambda: made_at)
    made = certificates.make_certificates(tmp_path / "made", hosts=[], nodes=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server_certificate, made.server_key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server, context), daemon=True).start()
        address = LinkAddress("127.0.0.1", server.getsockname()[1], made.ca)
        node = FleetConnection(address, certificates.load_node_key(made.node_key(0)), registered=True)
        with pytest.raises(LinkAwayError) as away:
            node.connect()

    today, valid_from = utc_now(), made_at - timedelta(days=1)
    assert f"its certificate is valid from {valid_from:%Y-%m-%d %H:%M}" in str(away.value)
    assert f"this machine's clock says {today:%Y-%m-%d}" in str(away.value)


def greet(server: socket.socket, context: ssl.SSLContext) -> None:
    """Show the certificate to whoever comes, until the socket is closed."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as shown:
            shown.recv(1)


def test_a_run_says_that_something_else_answers_in_its_superlinks_place(between: BadLink) -> None:
    between.answer(200)

    with pytest.raises(RunFailedError, match="something else than a SuperLink answers at"):
        node_states(LinkAddress("127.0.0.1", between.port))


def struck(between: BadLink) -> None:
    """Wait until the run has met the fault."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not between.struck:
        assert time.monotonic() < deadline
        time.sleep(0.01)
