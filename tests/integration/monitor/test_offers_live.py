"""What claimants offer: what may be asked for, by whom, and what is refused before it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.monitor_process import MonitorProcess, offer

AGENT, OTHER = "/api/offers/agent%20on%20ulm", "/api/offers/Dagster"


@pytest.fixture(autouse=True)
def _no_offers(client: httpx.Client) -> Iterator[None]:
    yield
    for path in (AGENT, OTHER):
        assert client.delete(path).status_code == httpx.codes.NO_CONTENT


def ask(client: httpx.Client, run_id: str, *, page: bool = False, **request: Any) -> httpx.Response:
    """Ask for a run; as a page of the monitor, or as a program."""
    headers = {"Origin": str(client.base_url).rstrip("/")} if page else {}
    body = {"run_id": run_id, "request": {"phase": "blood"} | request}
    return client.post("/api/runs", json=body, headers=headers)


def test_an_offer_is_listed_until_it_is_ended_and_lasts_a_minute(client: httpx.Client) -> None:
    held = client.put(AGENT, json=offer()).json()
    assert client.get("/api/offers").json()["offers"] == [held]
    assert held["claimant"] == "agent on ulm"
    assert held["offer"]["partitions"][0]["parameters"][0]["minimum_excluded"] is True
    assert held["offer"]["defaults"]["superlink"] is None

    assert client.delete(AGENT).status_code == httpx.codes.NO_CONTENT
    assert client.get("/api/offers").json() == {"offers": []}


def test_a_request_waits_where_nobody_is_there_whatever_it_names(client: httpx.Client) -> None:
    assert ask(client, "of-later", phase="retina", overrides={"anything.at": [1, 2]}).is_success


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"phase": "path"}, "it has no phase 'path'; it has blood, derma"),
        ({"profile": "tuned"}, "it has no profile 'tuned'"),
        ({"overrides": {"runtime.engine": "ray"}}, "it has no engine 'ray'"),
        ({"overrides": {"partition.name": "shard"}}, "it has no partition 'shard'; it has dirichlet, iid, hospital"),
        ({"overrides": {"federation.strategy.name": "krum"}}, "it has no strategy 'krum'"),
        ({"overrides": {"federation.round": 3}}, "it knows no key 'federation.round'"),
        (
            {"overrides": {"partition.name": "dirichlet", "partition.parameters.alpha": 0}},
            "its partition dirichlet takes for alpha a number above 0, not 0",
        ),
        (
            {"overrides": {"federation.strategy.name": "fedavg", "federation.strategy.parameters.eta": 1}},
            "its strategy fedavg has no parameter 'eta'; it has none",
        ),
    ],
)
def test_what_no_claimant_offers_is_refused_with_the_reason(
    client: httpx.Client, request_: dict[str, Any], reason: str
) -> None:
    client.put(AGENT, json=offer())

    refused = ask(client, "excluded", **request_)

    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert f"agent on ulm: {reason}" in refused.json()["error"]
    assert client.get("/api/runs/excluded").status_code == httpx.codes.NOT_FOUND


def test_what_another_claimant_takes_is_not_refused(client: httpx.Client) -> None:
    client.put(AGENT, json=offer())
    client.put(OTHER, json=offer(phases=[{"name": "path"}]))

    assert ask(client, "of-another", phase="path").is_success
    assert ask(client, "of-the-first", overrides={"partition.name": "hospital-skew"}).is_success


def test_the_same_request_again_is_the_same_run_whatever_is_offered_by_then(client: httpx.Client) -> None:
    assert ask(client, "again", phase="path").status_code == httpx.codes.CREATED
    client.put(AGENT, json=offer())

    assert ask(client, "again", phase="path").json()["run_id"] == "again"


@pytest.mark.parametrize(
    "overrides",
    [
        {"dataset.source": "/etc"},
        {"dataset.source": "data"},
        {"backbone.name": "/models/mine"},
        {"backbone.name": "somebody/else"},
        {"partition.name": "../mine.yaml"},
        {"runtime.workers": 8},
        {"runtime.superlink": "link.example.org:9092"},
        {"runtime.root_certificates": "/etc/ca.pem"},
    ],
)
def test_a_page_names_no_path_and_nothing_of_runtime_and_a_program_may(
    client: httpx.Client, overrides: dict[str, Any]
) -> None:
    (key,) = overrides

    with_nobody = ask(client, "by-page", page=True, overrides=overrides)
    keys = offer()["overrides"] | {key: {}}
    client.put(AGENT, json=offer(overrides=keys, partitions=[{"name": "dirichlet"}, {"name": "../theirs.yaml"}]))
    with_offer = ask(client, "by-page", page=True, overrides=overrides)

    for refused in (with_nobody, with_offer):
        assert refused.status_code == httpx.codes.BAD_REQUEST
        assert key in refused.json()["error"]
    if key != "partition.name":
        assert ask(client, f"by-program-{uuid4()}", overrides=overrides).is_success


def test_a_page_chooses_by_name_what_is_offered(client: httpx.Client) -> None:
    client.put(AGENT, json=offer())

    chosen = {"dataset.source": "phantom", "backbone.name": "facebook/deit-tiny-patch16-224"}
    assert ask(client, "chosen", page=True, overrides=chosen | {"runtime.engine": "inprocess"}).is_success


def test_an_offer_that_is_too_large_is_refused(client: httpx.Client) -> None:
    large = offer(overrides={"federation.rounds": {"description": "x" * 300_000}})

    refused = client.put(AGENT, json=large)

    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "too large" in refused.json()["error"]


def test_offers_end_with_the_monitor_and_are_held_anew(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        assert client.put(AGENT, json=offer()).is_success
        monitor.kill()
        monitor.start()
        assert client.get("/api/offers").json() == {"offers": []}
        assert client.put(AGENT, json=offer()).is_success
