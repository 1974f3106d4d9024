"""What a person reads of a hardware check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedforge_runtime.commands.hardware_tables import print_hardware, warnings
from fedforge_runtime.hardware.check import DeterminismCheck, HardwareReport
from fedforge_runtime.hardware.devices import DeviceDecision, StabilityCheck

Shown = Callable[[HardwareReport], str]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What is printed on a terminal of eighty columns, in one line."""
    monkeypatch.setenv("COLUMNS", "80")

    def show(report: HardwareReport) -> str:
        print_hardware(report)
        return " ".join(capsys.readouterr().out.split())

    return show


def test_it_fits_a_terminal_of_eighty_columns(
    report: HardwareReport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    print_hardware(report)

    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


def test_cores_and_memory_are_shown_with_what_the_container_gives(shown: Shown, report: HardwareReport) -> None:
    text = shown(report)

    assert "2 usable of 8, the container gives 1.5" in text
    assert "16.0 GB, 8.0 GB available, the container gives 4.0 GB" in text


def test_cuda_is_shown_as_present_and_unused(shown: Shown, report: HardwareReport) -> None:
    assert "1 present; not offered and never used" in shown(report)


def test_the_fall_back_and_its_reason_are_shown(shown: Shown, report: HardwareReport) -> None:
    failed = replace(report.mps, checks=(StabilityCheck("repeatable", False, "logits: other bits in a second run"),))

    text = shown(replace(report, mps=failed))

    assert "The CPU is used instead of mps: a reason." in text
    assert "FAILED: logits: other bits in a second run" in text


def test_an_mps_that_passed_is_shown_with_its_limits(shown: Shown, report: HardwareReport) -> None:
    passed = DeviceDecision("mps", "mps", checks=(StabilityCheck("finite", True, "every value is finite"),))

    text = shown(replace(report, mps=passed))

    assert "finite passed: every value is finite" in text
    assert "with one worker, in batches of 4 to 8, the head alone first" in text


def test_a_machine_that_is_not_deterministic_cannot_be_overlooked(shown: Shown, report: HardwareReport) -> None:
    broken = DeterminismCheck(False, False, 3, ("aa", "bb"))

    assert shown(replace(report, determinism=broken)).count("FAILED") == 2


def test_estimates_are_called_so_and_say_how_they_were_measured(shown: Shown, report: HardwareReport) -> None:
    text = shown(report)

    assert "estimates for the official images" in text
    assert "Measured now: 50.0 images/s over 384 generated images through an untrained backbone" in text
    assert "Trainer 2,000 rows/s and 100 ms a call" in text


def test_a_machine_with_room_and_rest_gets_no_warning(report: HardwareReport) -> None:
    assert warnings(report) == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"busy": 0.5}, "Other work took 50% of the cores"),
        ({"disk_free_bytes": 10**9}, "last_block of blood needs 2.6 GB for tokens, and 1.0 GB are free"),
        ({"disk_free_bytes": 10**6}, "The features of blood need 13.0 MB, and 1.0 MB are free"),
    ],
)
def test_a_busy_machine_and_a_small_disk_are_warned_of(
    report: HardwareReport, change: dict[str, float], warning: str
) -> None:
    warned = warnings(replace(report, machine=replace(report.machine, **change)))  # type: ignore[arg-type]

    assert len(warned) == 1
    assert warning in warned[0]
