"""On what and with what the figures were measured."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path

import psutil

from benchmarks.figures import Results
from fedforge_runtime.clock import utc_now
from fedforge_runtime.config import RuntimeConfig
from fedforge_runtime.record.provenance import git_commit

_MANY = 1_000_000
_REST_SECONDS = 1.0


def describe_machine() -> Results:
    """Processor, memory, versions, commit and date."""
    return {
        "cores": RuntimeConfig().worker_count(clients=_MANY),
        "cpu": _processor(),
        "machine_memory_mb": psutil.virtual_memory().total / 1e6,
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "flwr")},
        "commit": git_commit(),
        "date": utc_now().isoformat(timespec="seconds"),
    }


def load_by_others() -> float:
    """Per cent of all cores that are at work while this benchmark rests for a second."""
    return psutil.cpu_percent(interval=_REST_SECONDS)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if named:
            return named[1]
    return platform.processor() or platform.machine()
