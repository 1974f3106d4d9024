"""What this machine has: processor, cores that may be used, memory, limits of the container, room on the disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.processes.limits import cgroup_limits, usable_cores

_LOOK_SECONDS = 0.5
_PROC = Path("/proc")


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


def processor_name() -> str:
    """The processor as its maker calls it, else its architecture."""
    information = _PROC / "cpuinfo"
    text = information.read_text(errors="replace") if information.is_file() else ""
    if named := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
        return named[1].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()
