"""A SuperLink as FedForge starts it: who is let in, and that it ends with whoever started it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from fedforge_runtime import __version__
from fedforge_runtime.clock import utc_now
from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.superlink.app.driver import control_client, node_states
from fedforge_runtime.engines.superlink.certificates import (
    CertificateFolder,
    load_node_key,
    make_certificates,
    node_identity,
)
from fedforge_runtime.engines.superlink.known_sites import register_nodes
from fedforge_runtime.engines.superlink.link import link_process
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.link.visitors import Visitor, key_fingerprint, read_visitors
from fedforge_runtime.engines.superlink.node.fleet import FleetConnection
from fedforge_runtime.engines.superlink.node.link_answers import LinkAwayError
from fedforge_runtime.errors import NodeRefusedError, RunFailedError
from fedforge_runtime.flower import protocol
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "made", hosts=own_addresses(), nodes=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the SuperLink's files."""
    return tmp_path_factory.mktemp("link")


@pytest.fixture(scope="module")
def link(certificates: CertificateFolder, folder: Path) -> Iterator[LinkAddress]:
    """A SuperLink with TLS that takes registered nodes only and listens everywhere; site 0 is registered."""
    port = free_port()
    options = [
        *("--ssl-ca-certfile", str(certificates.ca), "--ssl-certfile", str(certificates.server_certificate)),
        *("--ssl-keyfile", str(certificates.server_key), "--enable-supernode-auth"),
        *("--database", str(folder / "link.db")),
    ]
    process = LinkProcess(LinkAddress("0.0.0.0", port, certificates.ca), folder, options)
    process.start()
    try:
        process.wait_until_ready()
        address = LinkAddress("127.0.0.1", port, certificates.ca)
        register_nodes(address, CertificateFolder(certificates.path))
        yield address
    finally:
        process.end()


def test_a_registered_node_is_let_in_and_seen_online(link: LinkAddress, certificates: CertificateFolder) -> None:
    node = FleetConnection(link, load_node_key(certificates.node_key(0)), registered=True)
    node.connect()
    try:
        assert [info.status for info in node_states(link) if info.node_id == node.node_id] == ["online"]
        assert node.receive() is None
    finally:
        node.close()

    assert [info.status for info in node_states(link) if info.node_id == node.node_id] == ["offline"]


def test_a_node_whose_number_cannot_be_noted_is_connected_all_the_same(
    link: LinkAddress, certificates: CertificateFolder, tmp_path: Path
) -> None:
    noted = tmp_path / "site-0.node-id"
    noted.mkdir()
    node = FleetConnection(link, load_node_key(certificates.node_key(0)), registered=True, noted=noted)
    node.connect()
    try:
        assert node.receive() is None
    finally:
        node.close()


def test_an_unregistered_node_is_refused(link: LinkAddress, tmp_path: Path) -> None:
    node = FleetConnection(link, node_identity(None, tmp_path / "unknown.key"), registered=True)

    with pytest.raises(NodeRefusedError, match=r"refused this node.*register this node's public key.*after half a"):
        node.connect()


def test_who_is_not_let_in_is_written_down_with_the_reason(
    link: LinkAddress, certificates: CertificateFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"unknown": node_identity(None, tmp_path / "unknown.key"), "site": load_node_key(certificates.node_key(0))}
    for name in keys:
        behind = timedelta(hours=1 if name == "site" else 0)
        monkeypatch.setattr("flwr.supernode.node_auth_http_interceptor.now", lambda behind=behind: utc_now() - behind)
        with pytest.raises((NodeRefusedError, LinkAwayError)) as refused:
            FleetConnection(link, keys[name], registered=True).connect()
    assert "the clocks of the two machines are apart: it says 2" in str(refused.value)

    prints = {name: key_fingerprint(protocol.public_key_to_bytes(key[1])) for name, key in keys.items()}
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: dict[str, Visitor] = {}
    while len(found) < len(keys):  # it is written once the node has been told
        assert time.monotonic() < deadline
        time.sleep(0.01)
        visitors = read_visitors(folder)
        found = {name: visitors[each] for name, each in prints.items() if each in visitors and visitors[each].refusal}
    assert found["unknown"].refusal.startswith("nobody has registered its key")
    assert found["site"].refusal == "its clock is 3,600 s behind"
    assert {visitor.address for visitor in found.values()} == {"127.0.0.1"}
    lines = [line for line in (folder / "superlink.log").read_text().splitlines() if "is not let in" in line]
    assert lines[-1].endswith("is not let in: its clock is 3,600 s behind")
    assert re.match(r"WARNING \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[-1])


def test_version_and_clock_of_who_is_let_in_are_written_down_and_not_those_of_a_stranger(
    link: LinkAddress, certificates: CertificateFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, unknown = load_node_key(certificates.node_key(1)), node_identity(None, tmp_path / "unknown.key")
    print_, stranger = (key_fingerprint(protocol.public_key_to_bytes(key[1])) for key in (site, unknown))
    with pytest.raises(NodeRefusedError):
        FleetConnection(link, unknown, registered=True).connect()
    behind = timedelta(seconds=90)
    monkeypatch.setattr("flwr.supernode.node_auth_http_interceptor.now", lambda: utc_now() - behind)
    node = FleetConnection(link, site, registered=True)
    node.connect()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (seen := read_visitors(folder).get(print_)) is None or seen.version is None:
            assert time.monotonic() < deadline
            node.receive()  # it is written once a second at most
        assert seen.version == __version__
        assert -95 < (seen.clock_offset_seconds or 0) < -90

        # A refusal is nobody's word of this clock: the key may be shown by anybody.
        behind = timedelta(hours=1)
        with pytest.raises(LinkAwayError):
            FleetConnection(link, site, registered=True).connect()
        while not (refused := read_visitors(folder)[print_]).refusal:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert refused.version == __version__
        # Requests that were let in after the file was read may have refined it; the hour is not in it.
        assert -95 < (refused.clock_offset_seconds or 0) < -90
    finally:
        behind = timedelta(0)
        node.close()
    assert read_visitors(folder)[stranger].version is None
    assert read_visitors(folder)[stranger].clock_offset_seconds is None


def test_a_node_cannot_register_itself(link: LinkAddress, tmp_path: Path) -> None:
    node = FleetConnection(link, node_identity(None, tmp_path / "unknown.key"), registered=False)

    with pytest.raises(NodeRefusedError, match="takes registered nodes only"):
        node.connect()


def test_a_node_that_trusts_another_authority_says_so_and_tries_again(
    link: LinkAddress, certificates: CertificateFolder, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path / "other", hosts=[], nodes=0)
    address = LinkAddress(link.host, link.port, other.ca)
    node = FleetConnection(address, load_node_key(certificates.node_key(0)), registered=True)

    with pytest.raises(LinkAwayError, match=r"certificate is not trusted.*--root-certificates"):
        node.connect()


def test_a_plain_text_client_says_what_it_may_lack(link: LinkAddress, certificates: CertificateFolder) -> None:
    node = FleetConnection(LinkAddress(link.host, link.port), load_node_key(certificates.node_key(0)), registered=True)

    with pytest.raises(LinkAwayError, match="or it talks TLS, and needs"):
        node.connect()


def test_a_stranger_with_the_certificate_can_neither_register_a_key_nor_start_or_take_a_run(
    link: LinkAddress,
) -> None:
    elsewhere = [host for host in own_addresses() if not host.startswith("127.")]
    if not elsewhere:
        pytest.skip("this machine has no address but loopback")
    stranger = LinkAddress(elsewhere[0], link.port, link.root_certificates)

    with control_client(stranger) as control:
        for call, request in (
            (control.RegisterNode, protocol.RegisterNodeRequest(public_key=b"a key", name="intruder")),
            (control.StartRun, protocol.StartRunRequest()),
            (control.ListRuns, protocol.ListRunsRequest()),
        ):
            with pytest.raises(httpx.HTTPStatusError, match="403"):
                call(request)
    with pytest.raises(RunFailedError, match="have a node, and not start runs"):
        node_states(stranger)
    assert node_states(link)


@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_a_superlink_listens_at_an_ipv6_address(host: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        port = probe.getsockname()[1]
    process = LinkProcess(LinkAddress(host, port), tmp_path)
    process.start()
    try:
        process.wait_until_ready()
        address = LinkAddress.parse(f"[::1]:{port}")
        node = FleetConnection(address, node_identity(None, tmp_path / "a.key"), registered=False)
        node.connect()
        assert [info.status for info in node_states(address)] == ["online"]
        node.close()
    finally:
        process.end()


def test_a_node_whose_superlink_is_away_is_told_so(tmp_path: Path) -> None:
    node = FleetConnection(
        LinkAddress("127.0.0.1", free_port()), node_identity(None, tmp_path / "a.key"), registered=False
    )

    with pytest.raises(LinkAwayError, match="refused"):
        node.connect()


def test_a_superlink_ends_and_its_folder_goes_when_its_owner_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "link"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fedforge_runtime.engines.address import LinkAddress, free_port\n"
        "from fedforge_runtime.engines.superlink.link.link_process import LinkProcess\n"
        f"folder = Path({str(folder)!r}); folder.mkdir()\n"
        "link = LinkProcess(LinkAddress('127.0.0.1', free_port()), folder, remove_folder=True)\n"
        "link.start(); link.wait_until_ready(); print(link.process_id, flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        link = psutil.Process(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    owner.wait()

    link.wait(PATIENCE_SECONDS)

    assert not folder.exists()


@pytest.fixture
def starting_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LinkProcess]:
    """A SuperLink that has just been started, and that hangs when it does nothing for a second."""
    monkeypatch.setattr(link_process, "_STALLED_SECONDS", 1.0)
    link = LinkProcess(LinkAddress("127.0.0.1", free_port()), tmp_path)
    link.start()
    yield link
    link.end()


def test_a_superlink_that_is_slow_to_start_is_waited_for(starting_link: LinkProcess) -> None:
    starting_link.wait_until_ready()

    assert starting_link.answers()


def test_a_superlink_that_hangs_while_it_starts_is_given_up(starting_link: LinkProcess) -> None:
    assert starting_link.process_id is not None
    psutil.Process(starting_link.process_id).suspend()

    with pytest.raises(RunFailedError, match="does not answer and has done nothing for"):
        starting_link.wait_until_ready()


def test_a_superlink_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        link = LinkProcess(LinkAddress("127.0.0.1", taken.getsockname()[1]), tmp_path)
        link.start()
        try:
            with pytest.raises(RunFailedError, match=r"ended: exit code .*address already in use"):
                wait_until_ended(link)
        finally:
            link.end()


def wait_until_ended(link: LinkProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        link.raise_if_ended()
        time.sleep(0.05)


def own_addresses() -> list[str]:
    """This machine's IPv4 addresses."""
    interfaces = psutil.net_if_addrs().values()
    return sorted({entry.address for each in interfaces for entry in each if entry.family == socket.AF_INET})
