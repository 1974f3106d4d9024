"""What this machine has: processor, cores that may be used, memory, limits of the container, room on the disk.

Light to import: the configuration asks it for the number of cores.
"""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 0.5
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 says "no limit" by a number near the largest that fits; no machine has an exabyte."""


@dataclass(frozen=True)
class CgroupLimits:
    """What a container may use at most; `None` where nothing limits it."""

    cores: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Machine:
    """The facts that a person asks for first."""

    processor: str
    platform: str
    python: str
    cores_present: int
    cores_usable: int
    """What the affinity of this process and the limit of its container leave."""
    cgroup_cores: float | None
    memory_total_bytes: int
    memory_available_bytes: int
    cgroup_memory_bytes: int | None
    disk_free_bytes: int
    disk_folder: str
    """The nearest folder to the home that exists."""
    busy: float
    """The part of all cores that other work took just now, 0 to 1: what is measured meanwhile comes out too slow."""


def describe_machine(home: Path) -> Machine:
    """The machine as it is now, looked at for half a second.

    Args:
        home: where free space is looked up; it is not made.
    """
    import psutil

    memory, limits = psutil.virtual_memory(), cgroup_limits()
    folder = home
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return Machine(
        processor=processor_name(),
        platform=platform.platform(),
        python=platform.python_version(),
        cores_present=os.cpu_count() or 1,
        cores_usable=usable_cores(),
        cgroup_cores=limits.cores,
        memory_total_bytes=memory.total,
        memory_available_bytes=memory.available,
        cgroup_memory_bytes=limits.memory_bytes,
        disk_free_bytes=shutil.disk_usage(folder).free,
        disk_folder=str(folder),
        busy=psutil.cpu_percent(interval=_LOOK_SECONDS) / 100,
    )


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


def processor_name() -> str:
    """The processor as its maker calls it, else its architecture."""
    information = _PROC / "cpuinfo"
    if information.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", information.read_text(errors="replace"), re.MULTILINE)
        if named:
            return named[1].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _groups(file: Path) -> list[tuple[str, str]]:
    """(controllers, path) of each hierarchy; v2 has no controllers there."""
    text = _read(file)
    lines = [line.split(":", 2) for line in text.splitlines()] if text else []
    return [(parts[1], parts[2]) for parts in lines if len(parts) == 3]


def _with_ancestors(cgroups: Path, controllers: str, group: str) -> list[Path]:
    """The group's folder and those above it: each may limit. Within a container only the root may be visible."""
    if not set(controllers.split(",")) & {"", "cpu", "memory"}:
        return []
    root = cgroups / controllers if controllers else cgroups
    folder = root / group.strip("/")
    above = [parent for parent in folder.parents if parent.is_relative_to(root)]
    return [folder, *above]


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
