"""What a process may use: its cores, and the limits of the container that it is in.

Light to import: the configuration asks for the number of cores.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 says "no limit" by a number near the largest that fits; no machine has an exabyte."""


@dataclass(frozen=True)
class CgroupLimits:
    """What a container may use at most; `None` where nothing limits it."""

    cores: float | None = None
    memory_bytes: int | None = None


def usable_cores() -> int:
    """The cores that this process may keep busy: its affinity, and no more than its container is given; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cgroup_limits().cores
    return max(1, min(affinity, math.ceil(limit))) if limit else affinity


def cgroup_limits(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> CgroupLimits:
    """The tightest limits on this process, of cgroup v2 and v1; none outside Linux.

    Args:
        proc: where `self/cgroup` says which groups the process is in.
        cgroups: where the groups' files are.
    """
    cores: list[float] = []
    memory: list[int] = []
    for controllers, group in _groups(proc / "self" / "cgroup"):
        for folder in _with_ancestors(cgroups, controllers, group):
            cores += _cores(folder)
            memory += _memory(folder)
    return CgroupLimits(cores=min(cores, default=None), memory_bytes=min(memory, default=None))


def _groups(file: Path) -> list[tuple[str, str]]:
    """(controllers, path) of each hierarchy; v2 has no controllers there."""
    lines = (line.split(":", 2) for line in (_read(file) or "").splitlines())
    return [(parts[1], parts[2]) for parts in lines if len(parts) == 3]


def _with_ancestors(cgroups: Path, controllers: str, group: str) -> list[Path]:
    """The group's folder and those above it: each may limit. Within a container only the root may be visible."""
    if not set(controllers.split(",")) & {"", "cpu", "memory"}:
        return []
    root = cgroups / controllers if controllers else cgroups
    folder = root / group.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _cores(folder: Path) -> list[float]:
    both = _read(folder / "cpu.max")
    quota, period = both.split() if both else (_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
    if not quota or not period or quota == "max" or int(quota) <= 0:
        return []
    return [int(quota) / int(period)]


def _memory(folder: Path) -> list[int]:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return [int(limit)] if limit and limit != "max" and int(limit) < _NO_LIMIT_BYTES else []


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
