"""`python -m benchmarks`: measure everything in one go, print a table and write `benchmarks/results/latest.json`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    audit,
    caching,
    dashboard,
    last_block,
    lines,
    memory,
    monitor,
    overhead,
    pipelines,
    rounds,
    startup,
    stops,
    superlink,
    training,
)
from benchmarks.figures import Results
from benchmarks.machine import describe_machine, load_by_others
from benchmarks.product import CommandFailedError, fedforge
from benchmarks.report import LATEST, print_results, write_results
from benchmarks.subject import FULL, QUICK, WORKERS, Subject, find_subject
from fedforge_runtime.clock import monotonic
from fedforge_runtime.storage.artifacts import MANIFEST, read_json
from fedforge_runtime.storage.home import Home

MEASUREMENTS: Mapping[str, Callable[[Subject], Results]] = {
    "startup": startup.measure,
    "stops": stops.measure,
    "memory": memory.measure,
    "rounds": rounds.measure,
    "training": training.measure,
    "overhead": overhead.measure,
    "superlink": superlink.measure,
    "caching": caching.measure,
    "audit": audit.measure,
    "last_block": last_block.measure,
    "lines": lines.measure,
    "monitor": monitor.measure,
    "dashboard": dashboard.measure,
    "pipelines": pipelines.measure,
}
_ON_FEW_ROWS = frozenset({"dashboard", "lines", "stops"})
"""The features of all rows, which take minutes, are not needed for these alone."""


def main() -> int:
    """Measure; 1 when a command that was needed failed."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that blocks end what they started
    subject = find_subject(Home.resolve(arguments.home), QUICK if arguments.quick else FULL)
    chosen = arguments.only or list(MEASUREMENTS)
    try:
        results = measure(subject, chosen) | {"quick": arguments.quick, "measured": ",".join(chosen)}
    except CommandFailedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    write_results(results)
    print_results(results)
    print(f"written to {LATEST.relative_to(Path.cwd()) if LATEST.is_relative_to(Path.cwd()) else LATEST}")
    return 0


def measure(subject: Subject, names: list[str]) -> Results:
    """Machine, work and figures of the named measurements, one after another."""
    sys.stderr.write(f"preparing {subject.data} in {subject.home.root}\n")
    few = _ON_FEW_ROWS.issuperset(names)
    options = subject.options(limit=subject.effort.subset_limit if few else subject.effort.dataset_limit)
    made = fedforge("prepare", "blood", *options, home=subject.home, show_progress=True)
    data = read_json(Path(made["dataset"]["path"]) / MANIFEST)["facts"]
    features = read_json(Path(made["features"]["path"]) / MANIFEST)["facts"]
    results: Results = {
        **describe_machine(),
        "data": data["source"],
        "data_fingerprint": data["fingerprint"],
        "backbone": Path(features["backbone"]).name,
        "backbone_trained": features["trained"],
        "workers": WORKERS,
    }
    loads = []
    for name in names:
        loads.append(load_by_others())
        started = monotonic()
        sys.stderr.write(f"measuring {name} …")
        sys.stderr.flush()
        results |= MEASUREMENTS[name](subject)
        sys.stderr.write(f" {monotonic() - started:.0f} s\n")
    loads.append(load_by_others())
    return results | {"largest_load_by_others_percent": max(loads)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--home", type=Path, help="where features are found and kept; default $FEDFORGE_HOME or ./.fedforge"
    )
    parser.add_argument(
        "--only", action="append", choices=list(MEASUREMENTS), metavar="NAME", help=f"one of {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: to try it out, not to quote")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
