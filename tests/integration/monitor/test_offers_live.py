"""What claimants offer: what may be asked for, by whom, and what is refused before it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.monitor_process import MonitorProcess, of_server, offer, started

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
        {"dataset.source": "./data"},
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


def test_what_a_page_names_waits_for_whoever_offers_it(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        named = {"dataset.source": "lab", "backbone.name": "mine", "partition.name": "iid", "runtime.engine": "ray"}
        assert ask(client, "waits", page=True, overrides=named).is_success
        refused = ask(client, "of-a-file", page=True, overrides={"partition.name": "mine.yaml"})
        assert "No claimant is there who says which names there are" in refused.json()["error"]

        client.put(AGENT, json=offer(engines=[{"name": "ray"}]))
        client.put(OTHER, json=offer(engines=[{"name": "ray"}], data=[{"name": "lab"}]))
        assert (waiting(client, AGENT), waiting(client, OTHER)) == ([], ["waits"])


@pytest.mark.parametrize("page", [True, False])
def test_images_that_nobody_offers_by_their_name_are_refused(client: httpx.Client, page: bool) -> None:
    client.put(AGENT, json=offer())

    refused = ask(client, "no-such-images", page=page, overrides={"dataset.source": "data"})

    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "official" in refused.json()["error"]


def test_a_page_chooses_by_name_what_is_offered(client: httpx.Client) -> None:
    client.put(AGENT, json=offer())

    chosen = {"dataset.source": "phantom", "backbone.name": "facebook/deit-tiny-patch16-224"}
    assert ask(client, "chosen", page=True, overrides=chosen | {"runtime.engine": "inprocess"}).is_success


LINK = {"engine": "superlink", "superlink": "link.example.org:9092", "values": {"blood": {"partition.clients": 10}}}
REACHED = "its SuperLink has 3 sites: 0, berlin (1), ulm (3)."
SITES = [{"site": 0, "name": "site-0"}, {"site": 1, "name": "berlin"}, {"site": 3, "name": "ulm"}]


def over_link(**changes: Any) -> dict[str, Any]:
    """The offer of a claimant whose runs go over a SuperLink with three sites."""
    keys: dict[str, Any] = {key: {} for key in ("federation.sites", "partition.clients", "runtime.superlink")}
    engines = [{"name": "superlink"}, {"name": "inprocess"}]
    held = offer(defaults=LINK, sites=SITES, engines=engines, profiles=[{"name": "cpu-safe"}, {"name": "tuned"}])
    return held | {"overrides": held["overrides"] | keys} | changes


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"overrides": {"federation.sites": [0, 2]}}, f"federation.sites names 0, 2, but {REACHED}"),
        ({"overrides": {"federation.sites": "0, munich"}}, f"federation.sites names 0, munich, but {REACHED}"),
        ({"overrides": {"federation.sites": "9" * 5000}}, f"federation.sites names {'9' * 80}, but {REACHED}"),
        ({"overrides": {"partition.clients": 3}}, f"partition.clients is 3, but {REACHED}"),
        ({"overrides": {"partition.clients": 10_000_000}}, f"partition.clients is 10000000, but {REACHED}"),
        ({}, f"partition.clients is 10, but {REACHED}"),
    ],
)
def test_sites_that_the_only_claimant_does_not_reach_are_refused_with_the_reason(
    client: httpx.Client, request_: dict[str, Any], reason: str
) -> None:
    client.put(AGENT, json=over_link())

    refused = ask(client, "beyond-reach", **request_)

    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert f"agent on ulm: {reason}" in refused.json()["error"]


@pytest.mark.parametrize(
    "request_",
    [
        {"overrides": {"federation.sites": "1,ulm"}},
        {"overrides": {"partition.clients": 2}},
        {"overrides": {"runtime.engine": "inprocess", "partition.clients": 10}},
        {"overrides": {"runtime.superlink": "other.example.org:9092"}},
        {"profile": "tuned"},
    ],
    ids=["named", "fewer", "another-engine", "another-superlink", "of-a-profile-that-the-offer-says-nothing-of"],
)
def test_sites_are_no_obstacle_where_the_claimant_has_them_or_nobody_knows(
    client: httpx.Client, request_: dict[str, Any]
) -> None:
    client.put(AGENT, json=over_link())

    assert ask(client, f"within-reach-{uuid4()}", **request_).is_success


def test_the_number_of_sites_is_that_of_the_profile_that_is_asked_for(client: httpx.Client) -> None:
    client.put(AGENT, json=over_link(defaults=LINK | {"by_profile": {"tuned": {"blood": {"partition.clients": 2}}}}))

    assert ask(client, f"of-tuned-{uuid4()}", profile="tuned").is_success
    assert ask(client, "ten-of-the-first", profile="cpu-safe").status_code == httpx.codes.BAD_REQUEST


def test_an_offer_without_sites_excludes_none_and_without_a_superlink_no_site_has_a_name(client: httpx.Client) -> None:
    asked = {"federation.sites": [0, 7]}
    keys = offer()["overrides"] | {"federation.sites": {}}

    client.put(AGENT, json=over_link(sites=[]))
    assert ask(client, f"of-an-older-agent-{uuid4()}", overrides=asked).is_success
    client.put(AGENT, json=offer(overrides=keys))
    assert ask(client, f"in-process-{uuid4()}", overrides=asked).is_success
    refused = ask(client, "by-name", overrides={"federation.sites": ["berlin"]})
    assert (
        "agent on ulm: federation.sites names berlin, and it has no SuperLink that knows names."
        in refused.json()["error"]
    )


def waiting(client: httpx.Client, path: str) -> list[str]:
    return [run["run_id"] for run in client.get(f"{path}/runs").raise_for_status().json()["runs"]]


def test_of_two_claimants_each_is_shown_only_what_its_own_offer_takes(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        client.put(AGENT, json=over_link())
        client.put(OTHER, json=over_link(sites=[*SITES, {"site": 2, "name": "munich"}], phases=[{"name": "blood"}]))
        four = {"partition.clients": 4}
        for run_id, asked in {
            "four": {"overrides": four},
            "two": {"overrides": {"partition.clients": 2}},
            "munich": {"overrides": {"federation.sites": ["munich"]}},
            "derma": {"phase": "derma", "overrides": {"partition.clients": 2}},
        }.items():
            assert ask(client, run_id, **asked).is_success

        assert waiting(client, AGENT) == ["two", "derma"]
        assert waiting(client, OTHER) == ["four", "two", "munich"]
        assert waiting(client, "/api/offers/nobody") == []

        # What needs sites waits for them; what nobody knows is for whoever is there, whose run says so.
        client.delete(OTHER)
        assert waiting(client, AGENT) == ["two", "derma"]
        client.delete(AGENT)
        assert ask(client, "retina", phase="retina").is_success
        client.put(AGENT, json=over_link())
        assert waiting(client, AGENT) == ["two", "derma", "retina"]


def test_a_run_that_has_begun_goes_on_where_its_folder_is_whatever_is_offered_there_now(tmp_path: Path) -> None:
    with MonitorProcess(tmp_path) as monitor, monitor.client() as client:
        assert ask(client, "begun", overrides={"partition.clients": 4}).is_success
        client.put(AGENT, json=over_link())
        assert waiting(client, AGENT) == []

        claimed = {"claimant": "agent on ulm"}
        assert client.post("/api/runs/begun/claim", json=claimed).is_success
        told = [started("begun"), of_server("begun", 2, "run_failed", reason="for a test")]
        assert client.post("/api/events", json={"events": told}).is_success
        resume = {"command": "resume", "given_by": "a test"}
        assert client.post("/api/runs/begun/commands", json=resume).is_success

        assert waiting(client, AGENT) == ["begun"]


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
