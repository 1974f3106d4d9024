"""What a machine and its container leave to use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedforge_runtime.hardware.machine import describe_machine
from fedforge_runtime.processes import limits
from fedforge_runtime.processes.limits import CgroupLimits, cgroup_limits, usable_cores


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_limits_of_cgroup_v2_are_read_from_the_processs_own_group(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/system/job\n")
    write(cgroups / "system" / "job", cpu__max="150000 100000", memory__max="2147483648")

    assert cgroup_limits(proc, cgroups) == CgroupLimits(cores=1.5, memory_bytes=2**31)


def test_the_tightest_limit_of_all_groups_above_counts(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/system/job\n")
    write(cgroups / "system" / "job", cpu__max="400000 100000", memory__max="max")
    write(cgroups / "system", cpu__max="200000 100000", memory__max="1000")

    assert cgroup_limits(proc, cgroups) == CgroupLimits(cores=2.0, memory_bytes=1000)


def test_limits_of_cgroup_v1_are_read_by_controller(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n")
    write(cgroups / "memory" / "job", memory__limit_in_bytes="4096")
    write(cgroups / "cpu,cpuacct" / "job", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")

    assert cgroup_limits(proc, cgroups) == CgroupLimits(cores=0.5, memory_bytes=4096)


def test_a_group_that_is_not_visible_leaves_the_limits_of_the_root_as_in_a_container(proc: Path, cgroups: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/docker/0123\n")
    write(cgroups, cpu__max="100000 100000")

    assert cgroup_limits(proc, cgroups) == CgroupLimits(cores=1.0)


@pytest.mark.parametrize("quota", ["max 100000", "-1 100000"])
def test_no_limit_is_no_limit(proc: Path, cgroups: Path, quota: str) -> None:
    (proc / "self" / "cgroup").write_text("0::/\n5:memory:/\n")
    write(cgroups, cpu__max=quota, memory__max="max")
    write(cgroups / "memory", memory__limit_in_bytes="9223372036854771712")

    assert cgroup_limits(proc, cgroups) == CgroupLimits()


def test_without_cgroups_there_are_no_limits(tmp_path: Path) -> None:
    assert cgroup_limits(tmp_path / "proc", tmp_path / "cgroup") == CgroupLimits()


@pytest.mark.parametrize(
    ("affinity", "limit", "usable"), [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2)]
)
def test_usable_cores_are_those_of_the_affinity_that_the_container_can_keep_busy(
    monkeypatch: pytest.MonkeyPatch, affinity: int, limit: float | None, usable: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(limits, "cgroup_limits", lambda: CgroupLimits(cores=limit))

    assert usable_cores() == usable


def test_this_machine_is_described_without_making_the_home(tmp_path: Path) -> None:
    described = describe_machine(tmp_path / "not" / "there")

    assert described.processor
    assert 1 <= described.cores_usable <= described.cores_present
    assert 0 < described.memory_available_bytes <= described.memory_total_bytes
    assert described.disk_folder == str(tmp_path)
    assert described.disk_free_bytes > 0
    assert 0 <= described.busy <= 1
    assert list(tmp_path.iterdir()) == []
