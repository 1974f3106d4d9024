"""`fedforge hardware-check`, as a person and a program read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import fedforge, refusal
from tests.e2e.forked import forked


@pytest.fixture(scope="module")
def unused_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hardware") / "home"


@pytest.fixture(scope="module")
def report(unused_home: Path, tiny_backbone: Path) -> dict[str, Any]:
    outcome = fedforge("hardware-check", "--home", unused_home, "--backbone", tiny_backbone, "--json")
    assert outcome.code == 0, outcome.errors
    return outcome.json


def test_json_names_machine_devices_and_versions(report: dict[str, Any], unused_home: Path) -> None:
    machine = report["machine"]
    assert machine["processor"]
    assert 1 <= machine["cores_usable"] <= machine["cores_present"]
    assert machine["memory_total_bytes"] >= machine["memory_available_bytes"] > 0
    assert machine["disk_folder"] == str(unused_home.parent)
    assert report["software"].keys() == {"torch", "transformers"}
    assert report["devices"]["cpu"] == {"used": True}
    assert report["devices"]["order_by_default"] == ["cpu"]
    assert report["devices"]["cuda"]["used"] is False
    assert report["devices"]["mps"]["when_asked_for"]["asked"] == "mps"


def test_json_says_that_results_repeat_to_the_bit(report: dict[str, Any]) -> None:
    determinism = report["determinism"]
    assert determinism["passed"]
    assert (determinism["repeatable"], determinism["independent_of_workers"]) == (True, True)
    assert determinism["processes"] == 3


def test_json_says_which_device_a_run_that_asks_for_mps_gets_and_why(report: dict[str, Any]) -> None:
    mps = report["devices"]["mps"]
    assert mps["fallback_enabled"]  # as the worker was started, before it loaded torch
    asked = mps["when_asked_for"]
    if asked["device"] == "cpu":
        assert asked["notices"]
    else:
        assert mps["available"]
        assert all(check["passed"] for check in asked["checks"])


def test_json_estimates_every_phase_for_the_official_images(report: dict[str, Any]) -> None:
    estimates = report["estimates"]
    assert {phase: each["images"] for phase, each in estimates.items()} == {
        "blood": 17092,
        "derma": 10015,
        "path": 107180,
    }
    speed = report["measured"]["features"]["images_per_second"]
    for each in estimates.values():
        assert each["feature_seconds"] == pytest.approx(each["images"] / speed)
        assert each["rounds_seconds"] == pytest.approx(each["rounds"] * each["round_seconds"])
        assert each["feature_bytes"] == each["images"] * 32 * 4
        assert each["token_bytes"] == each["images"] * 5 * 32 * 4  # four patches and the class token


@pytest.mark.thorough
def test_people_see_the_same_with_how_it_was_measured(unused_home: Path, tiny_backbone: Path) -> None:
    shown = forked("hardware-check", "--home", unused_home, "--backbone", tiny_backbone)

    assert shown.code == 0, shown.errors
    for words in ("processor", "not offered and never used", "passed: same bits", "Measured now", "estimates"):
        assert words in shown.output
    for phase in ("blood", "derma", "path"):
        assert phase in shown.output


def test_the_home_is_left_as_it_was(report: dict[str, Any], unused_home: Path) -> None:
    assert report
    assert not unused_home.exists()


def test_a_folder_that_is_no_backbone_is_refused_before_anything_is_measured(unused_home: Path, tmp_path: Path) -> None:
    outcome = forked("hardware-check", "--home", unused_home, "--backbone", tmp_path, "--json")

    assert "is not a backbone" in refusal(outcome)
