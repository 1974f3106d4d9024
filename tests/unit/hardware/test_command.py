"""`fedforge hardware-check` around the check itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fedforge_runtime.commands.hardware import hardware_check
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.hardware import check
from fedforge_runtime.hardware.check import DeterminismCheck, HardwareReport


def test_a_machine_that_does_not_repeat_itself_is_shown_and_then_fails(
    report: HardwareReport, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = replace(report, determinism=DeterminismCheck(True, False, 3, ("aa", "bb")))
    monkeypatch.setattr(check, "check_hardware", lambda **_: broken)

    with pytest.raises(FedForgeError, match="does not give the same bits twice") as failure:
        hardware_check(as_json=True)

    assert failure.value.exit_code != 0
    assert json.loads(capfd.readouterr().out)["determinism"]["passed"] is False
