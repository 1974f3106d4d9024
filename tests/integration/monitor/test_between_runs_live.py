"""What stands between runs: sites, phases; and what left each site in a run."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.monitor_process import event_of, of_server, started

SITE = {
    "site": 0,
    "name": "St. Anna",
    "online": True,
    "last_seen_at": "2026-11-28T09:00:00Z",
    "version": "0.1.0",
    "clock_offset_seconds": -0.25,
    "certificate_ends_at": "2027-11-28T09:00:00Z",
    "last_refusal": {"at": "2026-11-27T09:00:00Z", "reason": "its key is that of another site"},
}
ACCEPTED: dict[str, Any] = {
    "run_id": "blood-1",
    "model_sha256": "0f" * 32,
    "accepted_at": "2026-11-28T09:00:00Z",
    "scores": {"accuracy": 0.95},
    "baseline": {"accuracy": 0.94},
}


def test_the_sites_of_a_federation_take_the_place_of_what_was_told_before(client: httpx.Client) -> None:
    for federation, sites in (
        ("north", [SITE, {"site": 1, "online": False}]),
        ("south", [{"site": 0, "online": True}]),
        ("north", [SITE]),
    ):
        answer = client.put("/api/sites", json={"federation": federation, "sites": sites})
        assert answer.status_code == httpx.codes.OK

    told = client.get("/api/sites").json()["sites"]

    assert [(each["federation"], each["site"], each["online"]) for each in told] == [
        ("north", 0, True),
        ("south", 0, True),
    ]
    assert {name: told[0][name] for name in SITE} == SITE
    assert [each["stale"] for each in told] == [False, False]


def test_what_is_no_site_is_refused_by_name_and_changes_nothing(client: httpx.Client) -> None:
    before = client.get("/api/sites").json()["sites"]
    answer = client.put("/api/sites", json={"federation": "north", "sites": [SITE, {"site": -1, "online": True}]})

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "sites.1.site" in answer.json()["error"]
    assert client.get("/api/sites").json()["sites"] == before


def test_the_chain_of_phases_is_told_in_its_order(client: httpx.Client) -> None:
    blocker = {"reason": "the audit found duplicates", "next_step": "Look at the audit, and decide."}
    decision = {"finding": "duplicates", "by": "Ada", "reason": "they are known"}
    for phase, report in (
        ("derma", {"source": "dagster", "order": 1, "blockers": [blocker]}),
        ("blood", {"source": "dagster", "order": 0, "blockers": [blocker]}),
        (
            "blood",
            {
                "source": "dagster", "order": 0, "accepted": ACCEPTED, "decisions": [decision],
                "links": {"dagster": "http://127.0.0.1:3000/assets/blood"},
            },
        ),
    ):  # fmt: skip
        assert client.put(f"/api/phases/{phase}", json=report).status_code == httpx.codes.OK

    blocked = {"source": "dagster", "order": 0, "blockers": [blocker]}
    kept = client.put("/api/phases/blood", json=blocked).json()
    assert (kept["accepted"]["run_id"], kept["blockers"]) == ("blood-1", [blocker])  # what is accepted stays
    again = {"source": "dagster", "order": 0, "accepted": ACCEPTED, "blockers": [], "decisions": [decision]}
    assert client.put("/api/phases/blood", json=again).status_code == httpx.codes.OK
    phases = client.get("/api/phases").json()["phases"]

    assert [each["phase"] for each in phases] == ["blood", "derma"]
    assert phases[0]["accepted"]["scores"] == {"accuracy": 0.95}
    assert (phases[0]["blockers"], phases[0]["decisions"][0]["by"]) == ([], "Ada")
    assert phases[1]["blockers"] == [blocker]


def test_a_link_that_could_run_something_is_refused(client: httpx.Client) -> None:
    answer = client.put("/api/phases/path", json={"source": "dagster", "links": {"dagster": "javascript:alert(1)"}})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY


def described(run_id: str, federation: dict[str, Any]) -> dict[str, Any]:
    data = {
        "site_data": "partition", "source": "phantom", "official": False, "phantom": True, "title": "BloodMNIST",
        "fingerprint": "0f", "licence": "none", "rows": {"test": 3}, "class_names": ["a", "b", "c"],
    }  # fmt: skip
    return of_server(
        run_id, 2, "run_described", phase="blood", configuration={"federation": federation}, artifacts={}, data=data,
        backbone={"name": "untrained", "sha256": "0f", "trained": False}, partition=None,
        code={"version": "0.1.0", "commit": None, "packages": {}},
    )  # fmt: skip


def test_what_left_a_site_is_counted_by_kind_with_the_smallest_group(client: httpx.Client) -> None:
    def of_site(run_id: str, number: int, kind: str, **fields: Any) -> dict[str, Any]:
        return event_of(run_id, number, kind, emitter_id="server-1", role="server", **fields)

    for run_id, federation in (
        ("plain", {"strategy": {"name": "fedavg"}, "warm_start": "none"}),
        ("moments", {"strategy": {"name": "fedavg"}, "warm_start": "closed_form"}),
        ("own", {"strategy": {"name": "fedavg"}, "warm_start": "closed_form", "site_data": "own"}),
    ):
        of_classes = [">=5", "<5", 40] if run_id == "own" else [60, 40, 0]
        holds = {"rows": 90, "validation_rows": 10, "rows_per_class": of_classes}
        sent = [
            of_site(run_id, 4, "client_update_uploaded", task="statistics", payload_bytes=1000),
            of_site(run_id, 5, "client_update_uploaded", task="train", payload_bytes=400, round=1),
            of_site(run_id, 6, "client_update_uploaded", task="train", payload_bytes=400, round=2),
            of_site(run_id, 7, "client_update_uploaded", task="evaluate", payload_bytes=10, round=2),
        ]
        events = [started(run_id), described(run_id, federation), of_site(run_id, 3, "site_described", **holds), *sent]
        results = client.post("/api/events", json={"events": events}).json()["results"]
        assert [each["outcome"] for each in results] == ["accepted"] * len(events), results

    def sent_of(run_id: str) -> dict[str, tuple[int, int, bool, int]]:
        found = client.get(f"/api/runs/{run_id}/disclosures").json()
        assert "no differential privacy, no secure aggregation" in found["protection"]
        (site,) = found["sites"]
        assert (site["node_id"], site["rows"]) == ("client-0", 90)
        return {
            each["task"]: (each["messages"], each["payload_bytes"], each["per_class"], each["smallest_group"])
            for each in site["sent"]
        }

    assert sent_of("plain") == {
        "statistics": (1, 1000, False, 90),
        "train": (2, 800, False, 90),
        "evaluate": (1, 10, False, 10),
    }
    assert sent_of("moments")["statistics"] == (1, 1000, True, 40)
    assert sent_of("own")["statistics"] == (1, 1000, True, 4)
    (site,) = client.get("/api/runs/own/disclosures").json()["sites"]
    contains = {each["task"]: each["contains"] for each in site["sent"]}
    assert contains["train"] == (
        "the trained weights and their scores; once, how many rows each class has, no count below 5"
    )
