"""A federation of separate processes: for one run, for many, and by Flower's own command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedforge_runtime import __version__
from fedforge_runtime.engines.address import free_port
from fedforge_runtime.engines.superlink.certificates import open_certificates
from fedforge_runtime.storage.home import Home
from monitor.schema import ClientTrainStarted
from tests.e2e.command import (
    BARE,
    fedforge,
    processes_of,
    refusal,
    running,
    wait_for_event,
    wait_until,
)
from tests.e2e.forked import forked, forked_together
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates") / "made"
    outcome = forked("federation", "certs", folder, "--nodes", "3", "--json")
    assert outcome.code == 0, outcome.errors
    assert sorted(outcome.json["nodes"]) == ["0", "1", "2"]
    return folder


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorProcess]:
    with MonitorProcess(tmp_path_factory.mktemp("monitor")) as process:
        yield process


@pytest.fixture(scope="module")
def federation(home: Path, certificates: Path, monitor: MonitorProcess) -> Iterator[dict[str, Any]]:
    """Three nodes with registered keys around a SuperLink with TLS; whatever is left of it is killed."""
    outcome = fedforge(
        *("federation", "up", "--home", home, "--port", "0", "--certs", certificates, "--json"),
        *("--monitor", monitor.url),
    )
    assert outcome.code == 0, outcome.errors
    owner = psutil.Process(outcome.json["process_id"])
    try:
        yield outcome.json
    finally:
        for process in processes_of(owner.pid):
            process.kill()


def test_one_run_gives_the_same_model_over_a_federation_of_its_own_and_over_one_that_stands(
    federation: dict[str, Any], small: list[str], undisturbed: dict[str, Any], temporary_files: Path
) -> None:
    link = ["--superlink", federation["address"], "--root-certificates", federation["root_certificates"]]

    outcomes = forked_together(
        ["run", "blood", *small, "--engine", "superlink", "--json"], ["run", "blood", *small, *link, "--json"]
    )

    for outcome in outcomes:
        assert outcome.code == 0, outcome.errors
        assert outcome.json["model_sha256"] == undisturbed["model_sha256"]
        assert outcome.json["metrics"] == undisturbed["metrics"]
        assert outcome.json["engine"] == "superlink"
    assert list(temporary_files.glob("fedforge-superlink-*")) == []


def test_flwr_run_gives_the_same_model(
    federation: dict[str, Any], home: Path, small: list[str], undisturbed: dict[str, Any]
) -> None:
    backbone = small[small.index("--backbone") + 1]
    rows = next(text for text in small if text.startswith("dataset.limit=")).partition("=")[2]
    config = {
        "profile": "cpu-safe", "data": "phantom", "backbone": backbone, "limit": int(rows), "run-id": "by-flower",
        "set": "learning.learning_rate=0.02;learning.epochs=8",
    }  # fmt: skip
    text = " ".join(f"{key}={value if isinstance(value, int) else repr(value)}" for key, value in config.items())
    flwr = Path(sys.executable).parent / "flwr"

    outcome = subprocess.run(
        [flwr, "run", REPOSITORY / "flower_app", "--run-config", text, "--stream"],
        env=os.environ | {"FLWR_HOME": federation["flower_home"], "FLWR_TELEMETRY_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    shown = forked("show", "by-flower", "--home", home, "--json")
    assert shown.code == 0, outcome.stdout + outcome.stderr + shown.errors
    assert shown.json["model_sha256"] == undisturbed["model_sha256"]


def test_the_monitor_is_told_of_the_sites_between_runs(
    federation: dict[str, Any], monitor: MonitorProcess, certificates: Path
) -> None:
    with monitor.client() as client:

        def sites() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get("/api/sites").json()["sites"]
            return found

        def complete() -> bool:
            return len(sites()) == 3 and all(site["online"] and site["version"] for site in sites())

        wait_until(complete, "three sites on line")
        told = sites()

    assert [(site["site"], site["name"]) for site in told] == [(0, "site-0"), (1, "site-1"), (2, "site-2")]
    assert {site["federation"].rpartition("-")[2] for site in told} == {federation["address"].rpartition(":")[2]}
    assert all(site["last_seen_at"] and not site["stale"] and site["last_refusal"] is None for site in told)
    assert {site["version"] for site in told} == {__version__}
    assert all(-5 < site["clock_offset_seconds"] <= 0 for site in told)  # one machine: what requests took on their way
    ends = {datetime.fromisoformat(site["certificate_ends_at"]) for site in told}
    assert ends == {open_certificates(certificates).valid_until}


def test_an_agent_offers_the_sites_of_its_superlink_and_leaves_a_request_for_more_to_another(
    federation: dict[str, Any], monitor: MonitorProcess, home: Path, tmp_path: Path
) -> None:
    over_link = ("--superlink", federation["address"], "--root-certificates", federation["root_certificates"])
    four = {"phase": "blood", "overrides": {"partition.clients": 4, "dataset.source": str(tmp_path / "nowhere")}}
    with monitor.client() as client:

        def offered() -> list[list[dict[str, Any]]]:
            return [each["offer"]["sites"] for each in client.get("/api/offers").json()["offers"]]

        assert client.post("/api/runs", json={"run_id": "of-four", "request": four}).is_success
        with running("agent", "--home", home, "--monitor", monitor.url, *over_link):
            wait_until(lambda: offered() == [[{"site": n, "name": f"site-{n}"} for n in range(3)]], "its sites")
            refused = client.post("/api/runs", json={"run_id": "of-four-again", "request": four})
            assert "partition.clients is 4, but its SuperLink has 3 sites: 0, 1, 2." in refused.json()["error"]

            with running("agent", "--home", tmp_path, "--monitor", monitor.url, "--once") as other:
                assert other.wait(timeout=PATIENCE_SECONDS) == 0

        view = client.get("/api/runs/of-four").json()
    assert view["claimed_by"].endswith(f"process {other.pid}")
    assert "nowhere" in view["reason"]


def test_the_federation_says_what_runs(federation: dict[str, Any], home: Path) -> None:
    status = forked("federation", "status", "--home", home, "--json").json

    assert status["ready"]
    assert status["superlink"]["reachable"]
    assert status["superlink"]["restarts"] == 0
    assert status["nodes_online"] == 3
    assert [node["site"] for node in status["nodes"]] == [0, 1, 2]
    assert all(node["alive"] and node["restarts"] == 0 and node["memory_mb"] > 0 for node in status["nodes"])
    shown = forked("federation", "status", "--home", home).output
    assert federation["address"] in shown
    assert "not running" not in shown


def test_what_cannot_be_done_with_a_federation_is_refused_in_one_line(
    federation: dict[str, Any], home: Path, small: list[str], certificates: Path, tmp_path: Path
) -> None:
    here = ["--home", str(home)]
    nobody = f"127.0.0.1:{free_port()}"
    port = federation["address"].rpartition(":")[2]
    for arguments, said in (
        (["federation", "up", *here], "there is a federation in"),
        (["federation", "status", "--home", tmp_path], "there is no federation in"),
        (["federation", "down", "--home", tmp_path], "there is no federation in"),
        (["federation", "up", "--home", tmp_path, "--host", "0.0.0.0"], "without a key"),
        (["federation", "up", "--home", tmp_path, "--port", port], "cannot listen at"),
        (["federation", "up", "--home", tmp_path, "--certs", certificates, "--nodes", "4"], "keys for 3 nodes, not"),
        (["federation", "certs", certificates], "is not an empty folder"),
        (["node", "--superlink", nobody, "--site", "0", "--home", tmp_path, "--shards", tmp_path / "x"], "no folder"),
        (["node", "--superlink", "http://x", "--site", "0", "--home", tmp_path], "is not the address of a SuperLink"),
        (["run", "blood", *small, "--superlink", "127.0.0.1"], "is not the address of a SuperLink"),
        (["run", "blood", *small, "--superlink", nobody, "--engine", "ray"], "but engine is ray"),
        (["run", "blood", *small, "--superlink", nobody, "--run-id", "nobody-there"], "cannot be reached"),
        (["run", "blood", *small, "--superlink", federation["address"], "--run-id", "plain-text"], "cannot be reached"),
    ):
        assert said in refusal(forked(*arguments)), arguments


def test_a_stranger_key_is_refused_and_the_node_says_so_and_ends(
    federation: dict[str, Any], certificates: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert forked("federation", "certs", other, "--nodes", "1").code == 0

    outcome = fedforge(
        "node", "--superlink", federation["address"], "--site", "0", "--home", tmp_path / "site",
        "--root-certificates", certificates / "ca.pem", "--key", other / "nodes" / "site-0.key",
    )  # fmt: skip

    assert outcome.code == 4
    assert "refused this node" in outcome.error_lines[-1]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.thorough)], ids=lambda number: number.name
)
def test_ctrl_c_and_sigterm_leave_nothing_behind_and_the_run_resumes_in_another_engine(
    number: signal.Signals, small: list[str], home: Path, undisturbed: dict[str, Any], temporary_files: Path
) -> None:
    run_id = f"superlink-{number.name.lower()}"
    with running("run", "blood", *small, "--engine", "superlink", "--json", "--run-id", run_id) as process:
        log = Home(home).run(run_id).events
        wait_for_event(log, lambda event: isinstance(event, ClientTrainStarted), "training")
        family = processes_of(process.pid)
        process.send_signal(number)
        process.wait(PATIENCE_SECONDS)
        assert process.returncode == 130
        psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        assert not any(each.is_running() for each in family)
    assert list(temporary_files.glob("fedforge-superlink-*")) == []

    resumed = forked("resume", run_id, "--home", home, "--engine", "inprocess", *BARE, "--json")

    assert resumed.json["model_sha256"] == undisturbed["model_sha256"]


def test_down_ends_every_process(federation: dict[str, Any], home: Path) -> None:
    family = processes_of(federation["process_id"])
    assert len(family) >= 6

    outcome = fedforge("federation", "down", "--home", home, "--json")

    assert outcome.json == {"address": federation["address"], "ended": True}
    psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert not any(each.is_running() for each in family)
    assert "there is no federation in" in refusal(forked("federation", "status", "--home", home))
