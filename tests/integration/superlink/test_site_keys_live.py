"""A key is one site's: over a real SuperLink, with nodes that speak its protocol and say whatever they like."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

from fedforge_runtime.config import load_run_config
from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import driven_run, node_states
from fedforge_runtime.engines.superlink.certificates import CertificateFolder, load_node_key, make_certificates
from fedforge_runtime.engines.superlink.known_sites import number_sites, register_nodes
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.node.fleet import FleetConnection
from fedforge_runtime.engines.superlink.node.objects import Outgoing
from fedforge_runtime.engines.superlink.standing import sites_behind
from fedforge_runtime.errors import ConfigError, NodeRefusedError, RunFailedError
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.sites.settings import PARTITION_ID
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.control import AlwaysRun
from fedforge_runtime.telemetry.emitter import Emitter, read_events
from tests.support.hurried_clock import time_out_once
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateFolder:
    return make_certificates(tmp_path / "certificates", hosts=[], nodes=3, names=["berlin", "munich"])


@pytest.fixture
def link(certificates: CertificateFolder, tmp_path: Path) -> Iterator[LinkAddress]:
    """A SuperLink with TLS that takes registered nodes only."""
    address = LinkAddress("127.0.0.1", free_port(), certificates.ca)
    options = [
        *("--ssl-ca-certfile", str(certificates.ca), "--ssl-certfile", str(certificates.server_certificate)),
        *("--ssl-keyfile", str(certificates.server_key), "--enable-supernode-auth"),
    ]
    folder = tmp_path / "link"
    folder.mkdir()
    process = LinkProcess(address, folder, options)
    process.start()
    try:
        process.wait_until_ready()
        register_nodes(address, certificates)
        yield address
    finally:
        process.end()


class Claimant:
    """A node with a site's key that says that it is a site: the same, or another."""

    def __init__(self, link: LinkAddress, certificates: CertificateFolder, *, key: int, site: int) -> None:
        self._fleet = FleetConnection(link, load_node_key(certificates.node_key(key)), registered=True)
        self._site = site
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Claimant:
        self._fleet.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._fleet.close()

    @property
    def node_id(self) -> int:
        return self._fleet.node_id

    def _answer(self) -> None:
        identity = ConfigRecord({PARTITION_ID: self._site})
        while not self._ending.wait(0.05):
            message = self._fleet.receive()
            if message is not None:
                answer = Message(RecordDict({messages.CONFIG: identity}), reply_to=message)
                self._fleet.send(Outgoing([answer]), message.metadata.run_id)


def test_a_node_that_names_a_site_whose_key_it_has_not_is_refused(
    link: LinkAddress, certificates: CertificateFolder, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    federation = Federation(server_app=ServerApp(), run_config={}, clients=3, workers=1)
    with ExitStack() as stack:
        true = [stack.enter_context(Claimant(link, certificates, key=site, site=site)) for site in (0, 1)]
        false = stack.enter_context(Claimant(link, certificates, key=2, site=0))
        inner, _ = stack.enter_context(driven_run(link, federation))
        emitter = stack.enter_context(Emitter(log, run_id="run", role="server"))
        grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=[0, 1])

        grid.discover(2, timeout=PATIENCE_SECONDS)
        nodes = list(grid.get_node_ids())
        of_others = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=[0, 2])
        with time_out_once(lambda: of_others.clients == [0]), pytest.raises(RunFailedError, match="missing: site 2"):
            of_others.discover(2, timeout=PATIENCE_SECONDS)

    assert nodes == [each.node_id for each in true]
    [told] = read_events(log)
    assert told.reason.startswith(
        f"node {false.node_id} says that it is site 0, and has the key of site 2: it is refused"
    )


def test_sites_are_named_by_the_names_that_their_operator_gave_them(link: LinkAddress) -> None:
    def numbers(*sites: str | int) -> tuple[int, ...]:
        options = {"federation.sites": list(sites), "federation.site_data": "own"}
        return number_sites(load_run_config("blood", options=options), link).sites

    assert numbers("munich", "berlin") == (0, 1)
    assert numbers("site-2", 0) == (0, 2)
    with pytest.raises(ConfigError, match="has no site 'munch'") as refused:
        numbers("munch", "berlin")
    assert refused.value.remedy == "Did you mean 'munich'?"


def test_the_sites_that_a_run_can_have_are_those_whose_keys_are_registered(link: LinkAddress, tmp_path: Path) -> None:
    assert sites_behind(link, Home(tmp_path / "home")) == {0: "berlin", 1: "munich", 2: "site-2"}


def test_a_site_that_is_no_longer_among_the_keys_is_not_let_in_any_more(
    link: LinkAddress, certificates: CertificateFolder
) -> None:
    before = {info.public_key: info.node_id for info in node_states(link)}
    change_sites(certificates, lambda sites: sites[1:])

    register_nodes(link, certificates)

    after = {info.public_key: info.node_id for info in node_states(link) if info.status != "unregistered"}
    assert after == {each.public_key_pem: before[each.public_key_pem] for each in certificates.sites}
    assert len(after) == 2
    with pytest.raises(NodeRefusedError, match="nobody has registered its key"):
        FleetConnection(link, load_node_key(certificates.node_key(0)), registered=True).connect()


def test_a_key_cannot_become_another_sites(link: LinkAddress, certificates: CertificateFolder) -> None:
    known = {info.public_key: (info.name, info.status) for info in node_states(link)}
    change_sites(certificates, lambda sites: [sites[2] | {"site": 0, "name": "berlin"}])

    with pytest.raises(RunFailedError, match=r"the key of site 0 is registered at .* as site-2's") as refused:
        register_nodes(link, certificates)

    assert "give that site a new one" in refused.value.remedy
    assert {info.public_key: (info.name, info.status) for info in node_states(link)} == known


def change_sites(
    certificates: CertificateFolder, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    """Write other sites into `sites.json`."""
    document = json.loads(certificates.sites_file.read_text())
    document["sites"] = change(document["sites"])
    certificates.sites_file.write_text(json.dumps(document))
