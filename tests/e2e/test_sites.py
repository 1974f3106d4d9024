"""A run over some of the sites asks these and no other, in every engine, and can be replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.emitter import read_events
from tests.e2e.command import Outcome, refusal
from tests.e2e.forked import forked, forked_together

SITES = [0, 2]


@pytest.fixture(scope="module")
def two_sites(small: list[str]) -> Outcome:
    """The small run over two of its three sites."""
    return over_two_sites(small, "two-sites")


def over_two_sites(small: list[str], run_id: str, *options: str) -> Outcome:
    return forked("run", "blood", *small, "--sites", "2,0", "--run-id", run_id, *options, "--json")


def test_only_the_sites_that_are_named_take_part(two_sites: Outcome, home: Path) -> None:
    assert_the_named_take_part(two_sites, home)


@pytest.mark.thorough
def test_only_the_sites_that_are_named_take_part_over_a_superlink_too(
    two_sites: Outcome, small: list[str], home: Path
) -> None:
    outcome = over_two_sites(small, "two-sites-superlink", "--engine", "superlink")

    assert_the_named_take_part(outcome, home)
    assert outcome.json["model_sha256"] == two_sites.json["model_sha256"]


def assert_the_named_take_part(outcome: Outcome, home: Path) -> None:
    assert outcome.code == 0, outcome.errors
    folder = Home(home).run(outcome.json["run_id"])
    assert read_json(folder.participants)["rounds"] == {str(number): SITES for number in range(4)}
    clients = {event.node_id for event in read_events(folder.events)} - {"server"}
    assert clients == {"client-0", "client-2"}
    assert {event.clients for event in read_events(folder.events) if event.type == "run_started"} == {2}


def test_the_record_of_such_a_run_replays_it_and_no_run_over_other_sites(
    two_sites: Outcome, small: list[str], home: Path, undisturbed: dict[str, Any]
) -> None:
    participants = Home(home).run("two-sites").participants
    replay = ["run", "blood", *small, "--participants", participants]

    same, other = forked_together([*replay, "--sites", "0,2", "--json"], [*replay, "--sites", "0,1"])

    assert same.code == 0, same.errors
    assert same.json["model_sha256"] == two_sites.json["model_sha256"] != undisturbed["model_sha256"]
    assert "names the clients [2], but the run has clients 0, 1" in refusal(other)


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ("0,3", "names site 3, but the partition has sites 0 to 2"),
        ("berlin,0", "which number the site 'berlin' has is known to the federation's SuperLink only"),
    ],
)
def test_sites_that_are_not_there_are_refused_and_leave_nothing_behind(
    sites: str, words: str, small: list[str], home: Path
) -> None:
    assert words in refusal(forked("run", "blood", *small, "--sites", sites, "--run-id", "no-such-site"))
    assert not Home(home).run("no-such-site").path.exists()
