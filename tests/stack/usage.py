"""What the parts of a stack take while nothing is asked of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.stack.compose import PARTS, Stack, run

_SECONDS = 60.0
_SETTLING_SECONDS = 90.0
"""A node that was started, or had a message, asks often for a minute."""
MOST_CPU_PERCENT = 15.0


@dataclass(frozen=True)
class Usage:
    """Percent of a core and MB (PSS: what several processes share counts once) of each part."""

    parts: dict[str, dict[str, float]]

    def in_words(self) -> str:
        """All together, and each."""
        cpu, memory = (sum(part[name] for part in self.parts.values()) for name in ("cpu_percent", "pss_mb"))
        each = ", ".join(
            f"{name} {part['cpu_percent']:.1f} %/{part['pss_mb']:.0f}" for name, part in self.parts.items()
        )
        return f"{cpu:.1f} % of a core ({MOST_CPU_PERCENT:.0f} asked for) and {memory:,.0f} MB: {each}"


def at_rest(stack: Stack, seconds: float = _SECONDS) -> Usage:
    """Over so many seconds; it needs to see the containers' processes, as root of the engine's machine does."""
    time.sleep(_SETTLING_SECONDS)
    names = {service: stack.container(service) for service in PARTS}
    before = {service: _processes(each) for service, each in names.items()}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    parts: dict[str, dict[str, float]] = {}
    for service, each in names.items():
        after = _processes(each)
        busy = sum(used - before[service].get(pid, 0.0) for pid, used in after.items())
        parts[service] = {"cpu_percent": round(100 * busy / passed, 2), "pss_mb": round(_pss(after) / 1e6, 1)}
    return Usage(parts)


def _processes(container: dict[str, Any]) -> dict[int, float]:
    """The CPU seconds of every process of a container, those that it has waited for included."""
    listed = run("docker", "top", container["Id"], "-eo", "pid").stdout.split()[1:]
    used: dict[int, float] = {}
    for pid in map(int, listed):
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        used[pid] = times.user + times.system + times.children_user + times.children_system
    return used


def _pss(processes: dict[int, float]) -> float:
    total = 0
    for pid in processes:
        try:
            rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rolled.splitlines() if line.startswith("Pss:")) * 1024
    return float(total)
