"""What claimants say of a request before it is made, and what is said where nobody can."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.monitor_process import MonitorProcess, offer
from tests.support.patience import PATIENCE_SECONDS

AGENT = "agent"
VALID = {
    "valid": True,
    "class_names": ["basophil", "eosinophil"],
    "sites": [{"site": 0, "rows": 30, "class_rows": [30, 0]}],
    "warnings": ["Only site 0 holds basophil."],
    "seconds": 41.5,
}


@pytest.fixture(autouse=True)
def _no_offers(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.delete(f"/api/offers/{AGENT}").is_success


def check(client: httpx.Client, **request: Any) -> httpx.Response:
    return client.post("/api/checks", json={"request": {"phase": "blood"} | request})


def next_check(client: httpx.Client, wait: float = 25) -> Any:
    return client.get("/api/checks/next", params={"claimant": AGENT, "wait": wait}).json()["check"]


def test_a_claimant_is_asked_at_once_and_its_answer_is_given(client: httpx.Client, monitor: MonitorProcess) -> None:
    client.put(f"/api/offers/{AGENT}", json=offer())
    with ThreadPoolExecutor() as threads, monitor.client() as claimant:
        waiting = threads.submit(next_check, claimant)
        asking = threads.submit(check, client, overrides={"federation.rounds": 3})
        task = waiting.result(PATIENCE_SECONDS)
        given = claimant.post(f"/api/checks/{task['check_id']}", json=VALID).json()
        view = asking.result(PATIENCE_SECONDS).json()

        assert task["request"]["overrides"] == {"federation.rounds": 3}
        assert given == {"waited_for": True}
        assert view == {"answer": VALID | {"error": None}, "claimant": AGENT, "missing": None}
        late = claimant.post(f"/api/checks/{task['check_id']}", json=VALID).json()
        assert late == {"waited_for": False}


def test_where_nobody_is_there_it_is_said_at_once(client: httpx.Client) -> None:
    view = check(client).json()

    assert (view["answer"], view["claimant"]) == (None, None)
    assert "no claimant is there" in view["missing"]


def test_who_offers_no_checks_is_named(client: httpx.Client) -> None:
    client.put(f"/api/offers/{AGENT}", json=offer(checks=False))

    assert check(client).json()["missing"].startswith(f"{AGENT} cannot be asked")
    refused = client.get("/api/checks/next", params={"claimant": AGENT})
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "holds no offer to answer checks" in refused.json()["error"]


def test_what_every_offer_excludes_is_known_without_asking(client: httpx.Client) -> None:
    client.put(f"/api/offers/{AGENT}", json=offer())

    view = check(client, phase="retina").json()

    assert view["answer"]["valid"] is False
    assert "it has no phase 'retina'" in view["answer"]["error"]


def test_a_page_that_names_a_path_is_refused_as_its_request_would_be(client: httpx.Client) -> None:
    client.put(f"/api/offers/{AGENT}", json=offer())
    body = {"request": {"phase": "blood", "overrides": {"dataset.source": "/etc"}}}

    refused = client.post("/api/checks", json=body, headers={"Origin": str(client.base_url).rstrip("/")})

    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "dataset.source is chosen by a name" in refused.json()["error"]


def test_who_does_not_answer_in_time_is_named(client: httpx.Client, monitor: MonitorProcess) -> None:
    client.put(f"/api/offers/{AGENT}", json=offer())

    assert check(client).json()["missing"] == f"{AGENT} did not ask for it within 5 s."
    with ThreadPoolExecutor() as threads, monitor.client() as claimant:
        asking = threads.submit(check, client)
        assert next_check(claimant) is not None
        assert asking.result(PATIENCE_SECONDS).json()["missing"] == f"{AGENT} has not answered within 5 s."


def test_who_waits_for_an_answer_is_told_when_the_monitor_ends(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client, monitor.client() as claimant:
        client.put(f"/api/offers/{AGENT}", json=offer())
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(check, client)
            assert next_check(claimant) is not None
            monitor.end()
            assert asking.result(PATIENCE_SECONDS).json()["missing"] == "the monitor ends."
