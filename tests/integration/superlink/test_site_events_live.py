"""Events of sites inside their answers, over a real SuperLink with TLS and keys: honest ones, and forged ones."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

from fedforge_runtime.engines.address import LinkAddress, free_port
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import driven_run
from fedforge_runtime.engines.superlink.certificates import CertificateFolder, load_node_key, make_certificates
from fedforge_runtime.engines.superlink.known_sites import register_nodes
from fedforge_runtime.engines.superlink.link.link_process import LinkProcess
from fedforge_runtime.engines.superlink.node.fleet import FleetConnection
from fedforge_runtime.engines.superlink.node.objects import Outgoing
from fedforge_runtime.federation import grid as grid_module
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.grid import Answer, RunGrid
from fedforge_runtime.sites.settings import PARTITION_ID
from fedforge_runtime.telemetry.carried import CarriedEvents
from fedforge_runtime.telemetry.control import AlwaysRun
from fedforge_runtime.telemetry.emitter import Emitter, read_events
from monitor.schema import ClientTrainStarted, EventsDropped, SiteSeen
from tests.e2e.command import wait_until
from tests.support.patience import PATIENCE_SECONDS

Say = Callable[[], bytes]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "made", hosts=[], nodes=2)


@pytest.fixture(scope="module")
def link(certificates: CertificateFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkAddress]:
    """A SuperLink with TLS that takes registered nodes only."""
    address = LinkAddress("127.0.0.1", free_port(), certificates.ca)
    options = [
        *("--ssl-ca-certfile", str(certificates.ca), "--ssl-certfile", str(certificates.server_certificate)),
        *("--ssl-keyfile", str(certificates.server_key), "--enable-supernode-auth"),
    ]
    process = LinkProcess(address, tmp_path_factory.mktemp("link"), options)
    process.start()
    try:
        process.wait_until_ready()
        register_nodes(address, certificates)
        yield address
    finally:
        process.end()


class Site:
    """A node with its site's key that answers each task with what `say` gives in the place of its events."""

    def __init__(self, link: LinkAddress, certificates: CertificateFolder, site: int, say: Say) -> None:
        self._fleet = FleetConnection(link, load_node_key(certificates.node_key(site)), registered=True)
        self._site = site
        self._say = say
        self._ending = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Site:
        self._fleet.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.may_answer.set()
        self._thread.join()
        self._fleet.close()

    def _answer(self) -> None:
        while not self._ending.wait(0.05):
            message = self._fleet.receive()
            if message is None:
                continue
            content = RecordDict({messages.CONFIG: ConfigRecord({PARTITION_ID: self._site})})
            if message.metadata.message_type == "train":
                self.may_answer.wait()
                content[messages.EVENTS] = messages.events_record(self._say())
            self._fleet.send(Outgoing([Message(content, reply_to=message)]), message.metadata.run_id)


def honest(site: int) -> Say:
    carried = CarriedEvents(run_id="run", attempt=1)

    def say() -> bytes:
        carried.emit(ClientTrainStarted, round_number=1, node_id=f"client-{site}")
        return carried.take()

    return say


def forging(**changes: str) -> Say:
    true = honest(0)
    return lambda: json.dumps(json.loads(true()) | changes).encode()


def seen_in(log: Path) -> list[SiteSeen]:
    return [event for event in read_events(log) if isinstance(event, SiteSeen)]


def exchange(grid: RunGrid) -> list[Answer]:
    questions = [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]
    return grid.exchange(questions, task="train", round_number=1, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (forging(node_id="client-1"), "its node_id is client-1, not client-0"),
        (forging(run_id="another"), "its run_id is another, not run"),
        (lambda: b"x" * 10_000_000, "they have 10,000,000 bytes, and 65,536 may come"),
        (lambda: b"\x00\xff{", "a line is no event"),
    ],
    ids=["of another site", "of another run", "10 MB", "garbage"],
)
def test_forged_events_change_nothing_and_are_named(
    say: Say, reason: str, link: LinkAddress, certificates: CertificateFolder, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    federation = Federation(server_app=ServerApp(), run_config={}, clients=2, workers=1)
    with ExitStack() as stack:
        stack.enter_context(Site(link, certificates, 0, say))
        stack.enter_context(Site(link, certificates, 1, honest(1)))
        inner, _ = stack.enter_context(driven_run(link, federation))
        emitter = stack.enter_context(Emitter(log, run_id="run", role="server"))
        grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=[0, 1])
        grid.discover(2, timeout=PATIENCE_SECONDS)
        answers = exchange(grid)

    assert [answer.failure for answer in answers] == ["", ""]
    assert answers[0].bytes_received == answers[1].bytes_received  # events are no payload of the model
    assert all(answer.message and messages.EVENTS not in answer.message.content for answer in answers)
    events = read_events(log)
    [dropped] = [event for event in events if isinstance(event, EventsDropped)]
    assert (dropped.node_id, dropped.count, dropped.role) == ("client-0", 1, "server")
    assert dropped.reason.startswith(reason)
    assert [(each.type, each.node_id) for each in events if each.role == "client"] == [
        ("client_train_started", "client-1")
    ]


def test_where_each_site_is_is_said_when_it_changes(
    link: LinkAddress, certificates: CertificateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_module, "_SAY_SECONDS", 0.1)
    log = tmp_path / "events.jsonl"
    federation = Federation(server_app=ServerApp(), run_config={}, clients=2, workers=1)
    with ExitStack() as stack:
        slow = stack.enter_context(Site(link, certificates, 0, honest(0)))
        stack.enter_context(Site(link, certificates, 1, honest(1)))
        slow.may_answer.clear()
        inner, _ = stack.enter_context(driven_run(link, federation))
        emitter = stack.enter_context(Emitter(log, run_id="run", role="server"))
        grid = RunGrid(inner, control=AlwaysRun(), emitter=emitter, sites=[0, 1])
        grid.discover(2, timeout=PATIENCE_SECONDS)
        asking = threading.Thread(target=exchange, args=(grid,))
        asking.start()
        wanted = {("client-0", "fetched"), ("client-1", "idle")}
        wait_until(lambda: wanted <= {(each.node_id, each.at) for each in seen_in(log)}, "both sites")
        slow.may_answer.set()
        asking.join()

    said = seen_in(log)
    assert {event.status for event in said} == {"online"}
    for node_id in ("client-0", "client-1"):
        places = [event.at for event in said if event.node_id == node_id]
        assert all(before != after for before, after in itertools.pairwise(places))
    assert {event.task for event in said if event.at == "fetched"} == {"train"}
