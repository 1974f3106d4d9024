"""The most memory that a cached run holds at any moment, over all of its processes."""

from __future__ import annotations

from pathlib import Path

import psutil

from benchmarks.figures import Results
from benchmarks.product import WATCH_SECONDS, run_federation
from benchmarks.subject import Subject

_ROUNDS = 3
_KIB = 1024
_MEGABYTE = 1e6


class MemoryWatch:
    """Remembers the largest sums over a process and its descendants, also those that were left by their parents."""

    def __init__(self) -> None:
        self.peak_proportional_bytes = 0
        self.peak_resident_bytes = 0
        self.processes_at_peak = 0
        self._seen: set[int] = set()

    def __call__(self, process_id: int) -> None:
        self._seen.add(process_id)
        for known in list(self._seen):
            try:
                self._seen.update(child.pid for child in psutil.Process(known).children(recursive=True))
            except psutil.Error:
                self._seen.discard(known)
        sizes = [size for process in self._seen if (size := memory_of(process))]
        proportional, resident = (sum(part) for part in zip(*sizes, strict=True)) if sizes else (0, 0)
        self.peak_resident_bytes = max(self.peak_resident_bytes, resident)
        if proportional > self.peak_proportional_bytes:
            self.peak_proportional_bytes, self.processes_at_peak = proportional, len(sizes)


def memory_of(process_id: int) -> tuple[int, int] | None:
    """Proportional set size (shared pages divided among those who map them) and resident set size, in bytes.

    `None` when the process has ended. Linux only.
    """
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = {line.split()[0]: int(line.split()[1]) * _KIB for line in lines[1:]}
    return (fields["Pss:"], fields["Rss:"]) if "Pss:" in fields else None


def measure(subject: Subject) -> Results:
    """One run on each engine, from launch to exported model."""
    if not Path("/proc/self/smaps_rollup").exists():
        return {"peak_memory_skipped": "needs /proc/<pid>/smaps_rollup"}
    options = [*subject.options(limit=subject.effort.dataset_limit), "--rounds", str(_ROUNDS)]
    own, ray = MemoryWatch(), MemoryWatch()
    with subject.home_with_features() as home:
        run_federation(*options, home=home, watch=own)
        run_federation(*options, "--engine", "ray", home=home, watch=ray)
    return {
        "peak_memory_mb": own.peak_proportional_bytes / _MEGABYTE,
        "peak_memory_rss_mb": own.peak_resident_bytes / _MEGABYTE,
        "peak_memory_processes": own.processes_at_peak,
        "ray_peak_memory_mb": ray.peak_proportional_bytes / _MEGABYTE,
        "ray_peak_memory_rss_mb": ray.peak_resident_bytes / _MEGABYTE,
        "ray_peak_memory_processes": ray.processes_at_peak,
        "peak_memory_sampled_every_ms": WATCH_SECONDS * 1000,
    }
