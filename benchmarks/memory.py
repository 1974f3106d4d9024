"""The most memory that a cached run holds at any moment, over all of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

from benchmarks.figures import Results
from benchmarks.product import run_federation
from benchmarks.subject import Subject
from fedforge_runtime.clock import monotonic

_ROUNDS = 3
_KIB = 1024
_MEGABYTE = 1e6
_LIBRARY = "libtorch_cpu"


class MemoryWatch:
    """Remembers the largest sums over a process and its descendants, also those that were left by their parents."""

    def __init__(self) -> None:
        self.peak_proportional_bytes = 0
        self.peak_resident_bytes = 0
        self.processes_at_peak = 0
        self.samples = 0
        self.started = monotonic()
        self._seen: set[int] = set()

    def __call__(self, process_id: int) -> None:
        """Take one sample."""
        self._seen = living_family(self._seen | {process_id}, parents_of_processes())
        sizes = [size for process in self._seen if (size := memory_of(process))]
        proportional, resident = (sum(part) for part in zip(*sizes, strict=True)) if sizes else (0, 0)
        self.peak_resident_bytes = max(self.peak_resident_bytes, resident)
        if proportional > self.peak_proportional_bytes:
            self.peak_proportional_bytes, self.processes_at_peak = proportional, len(sizes)
        self.samples += 1

    def results(self, prefix: str) -> Results:
        """Peaks in MB, and how close together the samples were: reading takes its time with many processes."""
        return {
            f"{prefix}peak_memory_mb": self.peak_proportional_bytes / _MEGABYTE,
            f"{prefix}peak_memory_rss_mb": self.peak_resident_bytes / _MEGABYTE,
            f"{prefix}peak_memory_processes": self.processes_at_peak,
            f"{prefix}peak_memory_ms_between_samples": (monotonic() - self.started) * 1000 / max(self.samples, 1),
        }


def living_family(known: Set[int], parents: Mapping[int, int]) -> set[int]:
    """Those of `known` that live, and all descendants; `parents` gives every living process its parent."""
    family = {process for process in known if process in parents}
    while more := {process for process, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def parents_of_processes() -> dict[int, int]:
    """Process id -> id of its parent, for every process of the machine."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(after_name[1])
    return parents


def memory_of(process_id: int) -> tuple[int, int] | None:
    """Proportional set size (shared pages divided among those who map them) and resident set size, in bytes.

    `None` when the process has ended. Linux only.
    """
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    fields = {line.split()[0]: int(line.split()[1]) * _KIB for line in lines[1:]}
    return (fields["Pss:"], fields["Rss:"]) if "Pss:" in fields else None


def others_with_torch() -> int:
    """Processes that map torch's libraries now; pages they share would not be counted as ours."""
    count = 0
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            count += _LIBRARY in maps.read_text()
    return count


def measure(subject: Subject) -> Results:
    """One run on each engine, from launch to exported model."""
    if not Path("/proc/self/smaps_rollup").exists():
        return {"peak_memory_skipped": "needs /proc/<pid>/smaps_rollup"}
    options = [*subject.options(limit=subject.effort.dataset_limit), "--rounds", str(_ROUNDS)]
    with subject.home_with_features() as home:
        others = others_with_torch()
        own = MemoryWatch()
        run_federation(*options, home=home, watch=own)
        results = own.results("")
        ray = MemoryWatch()
        run_federation(*options, "--engine", "ray", home=home, watch=ray)
        others = max(others, others_with_torch())
        return results | ray.results("ray_") | {"peak_memory_others_with_torch": others}
