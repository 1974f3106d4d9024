"""A monitor as its users have it: a process with a port and a database file."""

from __future__ import annotations

import os
import signal
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from fedforge_runtime.telemetry.trust import trust_of
from tests.support.forked_process import ForkedProcess, Output, Template, become
from tests.support.patience import PATIENCE_SECONDS

_TEMPLATE = Template("monitor.__main__")
"""Has loaded what a monitor loads, and nothing else: a start costs a fifth."""


def _run(words: list[str], environment: dict[str, str], output: Output, errors: Output) -> None:
    from fedforge_runtime.processes import die_with_owner
    from monitor.__main__ import main

    die_with_owner()
    with become(words, environment, output, errors):
        main()


class MonitorProcess:
    """Started by `with`, killed and started again at will; the same home and port throughout."""

    def __init__(self, home: Path, *options: str, token: str | None = None, ingest_token: str | None = None) -> None:
        self.home = home
        self.url = ""
        self._options = options
        self._token = token
        self._ingest_token = ingest_token
        self._port = 0
        self._process: ForkedProcess | None = None

    @property
    def database(self) -> Path:
        return self.home / "monitor" / "monitor.db"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def connections(self) -> int:
        """How many are open to it."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return sum(each.status != psutil.CONN_LISTEN for each in found)

    def start(self) -> None:
        """Return once it answers."""
        self.launch()
        assert self._process is not None
        line = self._process.stdout.readline()
        assert line.startswith("monitor at http://"), line
        self.url = line.split()[2].rstrip(",")
        self._port = int(self.url.rpartition(":")[2])
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self.client() as client:
            while True:
                if is_ready(client):
                    return
                assert time.monotonic() < deadline, "the monitor does not answer"
                time.sleep(0.02)

    def launch(self) -> None:
        """Return at once, while it is still starting."""
        environment = {**os.environ, "FEDFORGE_HOME": str(self.home)}
        if self._token is not None:
            environment["FEDFORGE_MONITOR_TOKEN"] = self._token
        if self._ingest_token is not None:
            environment["FEDFORGE_MONITOR_INGEST_TOKEN"] = self._ingest_token
        words = ["monitor", "--port", str(self._port), *self._options]
        self._process = ForkedProcess(
            lambda output, errors: _TEMPLATE.start(_run, words, environment, output, errors, name="monitor"),
            own_errors=False,
        )

    def kill(self) -> None:
        """As power loss would end it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """As an operator would end it; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_SECONDS)

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return plain_client(self.url, headers=headers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


def is_ready(client: httpx.Client) -> bool:
    """Whether the monitor answers, and can use its database."""
    try:
        return client.get("/api/ready").is_success
    except httpx.TransportError:
        return False


def plain_client(url: str, **options: Any) -> httpx.Client:
    """Speaks to what listens without TLS; to read the certificates that a client trusts would take 25 ms each time."""
    return httpx.Client(base_url=url, verify=trust_of(url), trust_env=False, timeout=PATIENCE_SECONDS, **options)


def event_of(run_id: str, number: int, kind: str = "node_heartbeat", **fields: Any) -> dict[str, Any]:
    """An event as an emitter sends it: by default a heartbeat of client 0."""
    document = {
        "type": kind,
        "event_id": str(uuid.uuid4()),
        "emitter_id": "client-0-1",
        "emitter_seq": number,
        "ts": datetime.now(UTC).isoformat(),
        "run_id": run_id,
        "round": 0,
        "node_id": "client-0",
        "role": "client",
    }
    return document | fields


def of_server(run_id: str, number: int, kind: str, **fields: Any) -> dict[str, Any]:
    """An event of the run's server."""
    return event_of(run_id, number, kind, emitter_id="server-1", node_id="server", role="server", **fields)


def started(run_id: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """`run_started` of three clients and five rounds."""
    return of_server(run_id, number, "run_started", engine="inprocess", rounds_total=5, clients=3, **fields)


def offer(**fields: Any) -> dict[str, Any]:
    """What a claimant offers: by default two phases, Dirichlet and FedProx."""
    alpha = {"name": "alpha", "type": "number", "default": 0.5, "minimum": 0, "minimum_excluded": True}
    mu = {"name": "proximal_mu", "type": "number", "default": 0.1, "minimum": 0}
    document = {
        "phases": [{"name": "blood"}, {"name": "derma"}],
        "profiles": [{"name": "cpu-safe"}],
        "engines": [{"name": "inprocess"}],
        "partitions": [{"name": "dirichlet", "parameters": [alpha]}, {"name": "iid"}],
        "presets": [{"name": "hospital-skew"}],
        "strategies": [{"name": "fedavg"}, {"name": "fedprox", "parameters": [mu]}],
        "backbones": [{"name": "facebook/deit-tiny-patch16-224"}],
        "data": [{"name": "official"}, {"name": "phantom"}],
        "overrides": {
            key: {}
            for key in (
                "federation.rounds",
                "partition.name",
                "federation.strategy.name",
                "dataset.source",
                "backbone.name",
                "runtime.engine",
                "runtime.workers",
            )
        },
        "checks": True,
    }
    return document | fields
