"""Runs that are asked for at a monitor and carried out by an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.command import hold_training, processes_of, refusal, running, wait_until
from tests.e2e.forked import forked
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def settings(tiny_backbone: Path) -> list[str]:
    keys = {
        "dataset.source": "phantom",
        "dataset.limit": 240,
        "backbone.name": tiny_backbone,
        "partition.clients": 3,
        "federation.rounds": 3,
        "learning.epochs": 8,
        "learning.learning_rate": 0.02,
        "runtime.workers": 2,
    }
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def is_rehearsal(process: psutil.Process) -> bool:
    """Whether it is the one that answers checks, which is the agent's, and of no run."""
    return "fedforge_runtime.runs.rehearsal" in process.cmdline()


def test_a_request_is_carried_out_stopped_and_resumed_to_the_model_of_a_run_by_hand(
    undisturbed: dict[str, object], settings: list[str], home: Path, tmp_path: Path
) -> None:
    log = home / "runs" / "asked" / "events.jsonl"
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:

        def shown() -> dict[str, object]:
            view: dict[str, object] = client.get("/api/runs/asked").json()
            return view

        asked = forked("start", "blood", *settings, "--run-id", "asked", "--monitor", monitor.url, "--json")
        assert asked.json["state"] == "requested"
        with running("agent", "--home", home, "--monitor", monitor.url) as agent:
            hold_training(log, 2)
            wait_until(lambda: shown()["state"] == "running", "the monitor's word of it")
            assert str(shown()["claimed_by"]).startswith("agent on ")
            family = [each for each in processes_of(agent.pid) if each.pid != agent.pid and not is_rehearsal(each)]
            assert forked("stop", "asked", "--monitor", monitor.url).code == 0
            wait_until(lambda: shown()["state"] == "stopped", "the stop")
            _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
            assert alive == []

            body = {"command": "resume", "given_by": "a test"}
            assert client.post("/api/runs/asked/commands", json=body).is_success
            wait_until(lambda: shown()["state"] == "completed", "the end")

        assert shown()["model_sha256"] == undisturbed["model_sha256"]
        assert shown()["attempt"] == 2


def test_what_cannot_be_carried_out_fails_with_its_reason_and_the_agent_goes_on(home: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "no-data"
    requests = {
        "hopeless": {"phase": "blood", "overrides": {"dataset.source": str(nowhere)}},
        "unknown": {"phase": "retina", "profile": "fast"},
    }
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        for run_id, request in requests.items():
            assert client.post("/api/runs", json={"run_id": run_id, "request": request}).is_success
        with running("agent", "--home", home, "--monitor", monitor.url) as agent:
            views = {run_id: wait_for_failure(client, run_id) for run_id in requests}
            agent.terminate()
            assert agent.wait(timeout=PATIENCE_SECONDS) == 0

    assert "no-data" in views["hopeless"]["reason"]
    assert "unknown phase 'retina'. Known: blood, derma, path." in views["unknown"]["reason"]
    assert not (home / "runs" / "hopeless").exists()


def wait_for_failure(client: httpx.Client, run_id: str) -> dict[str, Any]:
    def failed() -> dict[str, Any] | None:
        view: dict[str, Any] = client.get(f"/api/runs/{run_id}").json()
        return view if view["state"] == "failed" else None

    view: dict[str, Any] = wait_until(failed, f"the failure of {run_id}")
    return view


def test_a_wrong_request_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    wrong = refusal(forked("start", "blood", "--set", "federation.round=3", "--monitor", "http://127.0.0.1:9"))

    assert "federation.round" in wrong


def test_an_agent_offers_answers_checks_beside_a_run_and_told_to_end_ends_it_and_its_hanging_worker(
    settings: list[str], home: Path, tmp_path: Path
) -> None:
    log = home / "runs" / "beside" / "events.jsonl"
    valid = {"dataset.source": "phantom", "dataset.limit": 240, "partition.clients": 3, "federation.rounds": 3}
    wrong = {"partition.name": "dirichlet", "partition.minimum_rows": 1000, "dataset.source": "phantom"}
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:

        def offers() -> list[dict[str, Any]]:
            held: list[dict[str, Any]] = client.get("/api/offers").json()["offers"]
            return held

        def check(overrides: dict[str, Any]) -> Any:
            asked = {"request": {"phase": "blood", "overrides": overrides}}
            return client.post("/api/checks", json=asked).json()

        assert "no claimant is there" in check(valid)["missing"]
        with running("agent", "--home", home, "--monitor", monitor.url) as agent:
            wait_until(lambda: [each["offer"]["checks"] for each in offers()] == [True], "its offer")
            assert forked("start", "blood", *settings, "--run-id", "beside", "--monitor", monitor.url).code == 0
            hold_training(log, 1)
            answers = [check(valid), check(wrong)]
            refused = client.post("/api/runs", json={"run_id": "no", "request": {"phase": "retina"}})
            family = processes_of(agent.pid)
            agent.terminate()
            assert agent.wait(timeout=PATIENCE_SECONDS) == 0

        _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        assert alive == []
        assert client.get("/api/runs/beside").json()["state"] == "stopped"
        assert offers() == []

    good, bad = (view["answer"] for view in answers)
    assert good["valid"] is True
    assert [site["rows"] for site in good["sites"]] == [sum(site["class_rows"]) for site in good["sites"]]
    assert len(good["sites"]) == 3
    assert bad["valid"] is False
    assert "1000" in bad["error"]
    assert "it has no phase 'retina'; it has blood, derma, path" in refused.json()["error"]
