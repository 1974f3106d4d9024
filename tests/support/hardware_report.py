"""A hardware report that a test changes as it likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.hardware.check import DeterminismCheck, HardwareReport, TorchFacts
from fedforge_runtime.hardware.devices import DeviceDecision
from fedforge_runtime.hardware.machine import Machine
from fedforge_runtime.hardware.speed import Cost, FeatureSpeed, HeadSpeed, PhaseEstimate


@pytest.fixture
def report() -> HardwareReport:
    """Of a machine without mps that passed every check."""
    return HardwareReport(
        machine=Machine(
            processor="A processor",
            platform="a platform",
            python="3.11",
            cores_present=8,
            cores_usable=2,
            cgroup_cores=1.5,
            memory_total_bytes=16 * 10**9,
            memory_available_bytes=8 * 10**9,
            cgroup_memory_bytes=4 * 10**9,
            disk_free_bytes=100 * 10**9,
            disk_folder="/home/somebody",
            busy=0.0,
        ),
        torch=TorchFacts(
            torch="2.9",
            transformers="5.0",
            threads_per_worker=1,
            mps_built=False,
            mps_available=False,
            mps_fallback=True,
            cuda_built=True,
            cuda_devices=1,
        ),
        workers=2,
        determinism=DeterminismCheck(True, True, 3, ("aa", "bb")),
        mps=DeviceDecision(asked="mps", notices=("The CPU is used instead of mps: a reason.",)),
        backbone=Backbone("untrained", Path("backbone"), trained=False, sha256="00", hidden_size=192),
        features=FeatureSpeed(50.0, 384, 2),
        head=HeadSpeed(Cost(0.1, 0.0005), Cost(0.01, 0.0001), 2),
        estimates=(PhaseEstimate("blood", 17092, 341.8, 13 * 10**6, 20, 2.5, 50.0, 2_586 * 10**6),),
        seconds=20.0,
    )
