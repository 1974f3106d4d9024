"""Sites on other machines: what they say inside their answers is what a site beside the run writes into its log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fedforge_runtime.home import Home
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


def test_nodes_with_homes_of_their_own_tls_and_keys_give_the_events_and_the_model_of_one_process(
    small: list[str], home: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    made = forked("federation", "certs", tmp_path / "certs", "--nodes", SITES, "--json").json
    data = small[: small.index("--rounds")]
    limit = next(text for text in small if text.startswith("dataset.limit="))
    shards = forked("shards", "blood", tmp_path / "handed", *data, "--set", limit, "--json")
    assert shards.code == 0, shards.errors
    with ExitStack() as stack:
        stack.callback(fedforge, "federation", "down", "--home", tmp_path / "link")
        up = fedforge(
            *("federation", "up", "--nodes", "0", "--port", "0", "--home", tmp_path / "link"),
            *("--certs", tmp_path / "certs", "--json"),
        )
        assert up.code == 0, up.errors
        link = ("--superlink", up.json["address"], "--root-certificates", made["ca"])
        for site in range(SITES):
            shard = tmp_path / "handed" / f"site-{site:05d}"
            own = ("--key", made["nodes"][str(site)], "--site", site, "--shards", shard)
            stack.enter_context(forked_running("node", *link, *own, "--home", tmp_path / f"site-{site}"))
        run = forked("run", "blood", *small, *link, "--run-id", "far-away", "--json")
        assert run.code == 0, run.errors

    assert run.json["model_sha256"] == undisturbed["model_sha256"]
    here, there = Home(home).run("undisturbed").events, Home(home).run("far-away").events
    assert of_sites(there) == of_sites(here)
    assert not list(tmp_path.glob("site-*/runs/*"))
    emitters: dict[str, list[int]] = {}
    for event in read_events(there):
        emitters.setdefault(event.emitter_id, []).append(event.emitter_seq)
    assert all(counted == list(range(1, len(counted) + 1)) for counted in emitters.values())
