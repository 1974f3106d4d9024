"""Sites on other machines: what they say inside their answers is what a site beside the run writes into its log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.emitter import read_events
from tests.e2e.command import fedforge
from tests.e2e.forked import forked, forked_running

SITES = 3


def of_sites(log: Path) -> list[tuple[str, int, str]]:
    """What sites say of their work: type, round and node of each event."""
    return sorted(
        (event.type, event.round, event.node_id)
        for event in read_events(log)
        if event.type.startswith("client_train_") or event.type == "client_evaluated"
    )


def test_nodes_with_homes_keys_and_rows_of_their_own_give_the_events_and_the_model_of_one_process(
    small: list[str], home: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    secrets, volumes = tmp_path / "secrets", tmp_path / "volumes"
    provisioned = forked("federation", "provision", secrets, "--nodes", SITES, "--json")
    assert provisioned.code == 0, provisioned.errors
    with ExitStack() as stack:
        stack.callback(fedforge, "federation", "down", "--home", tmp_path / "link")
        up = fedforge(
            *("federation", "up", "--nodes", "0", "--port", "0", "--home", tmp_path / "link"),
            *("--certs", secrets / "superlink", "--json"),
        )
        assert up.code == 0, up.errors
        link = ("--superlink", up.json["address"], "--root-certificates")
        for site in range(SITES):
            rows, own = volumes / f"site-{site:05d}", secrets / f"site-{site}"
            rows.mkdir(parents=True)
            node = ("node", *link, own / "ca.pem", "--key", own / "site.key", "--site", site, "--shards", rows)
            stack.enter_context(forked_running(*node, "--home", tmp_path / f"site-{site}"))
        there = (*link, secrets / "run" / "ca.pem", "--handover", volumes)
        run = forked("run", "blood", *small, *there, "--run-id", "far-away", "--json")
        assert run.code == 0, run.errors
        heard = [Home(tmp_path / f"site-{site}").federation / f"site-{site}.heard" for site in range(SITES)]
        assert all(file.exists() for file in heard)

    assert run.json["model_sha256"] == undisturbed["model_sha256"]
    beside, far = Home(home).run("undisturbed").events, Home(home).run("far-away").events
    assert of_sites(far) == of_sites(beside)
    assert not list(tmp_path.glob("site-*/runs/*"))
    emitters: dict[str, list[int]] = {}
    for event in read_events(far):
        emitters.setdefault(event.emitter_id, []).append(event.emitter_seq)
    assert all(counted == list(range(1, len(counted) + 1)) for counted in emitters.values())
