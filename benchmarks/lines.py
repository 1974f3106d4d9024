"""A round over a slow line: what bandwidth the modes need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.durations import round_seconds
from benchmarks.figures import Results
from benchmarks.product import fedforge, run_federation
from benchmarks.subject import REPOSITORY, Subject, fresh_home
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.sites.shards import site_folder
from monitor.schema import ClientUpdateUploaded, ModelDispatched
from tests.support.bad_link import BadLink

SPEEDS = {"head_only": (20, 100, 1000), "last_block": (20, 100, 1000), "full": (1000,)}
"""Kilobytes a second, by mode; slower than that, `full` takes hours."""
_ONE_ROUND = ("--rounds", "1", "--set", "federation.round_timeout_seconds=7200")


def measure(subject: Subject) -> Results:
    """One round of one site: the model goes there, an update comes back, and the new model goes there to be judged."""
    results: Results = {}
    options = [*subject.options(limit=subject.effort.subset_limit), "--clients", "1"]
    options += ["--set", "federation.minimum_clients=1"]
    with fresh_home() as home, fresh_home() as site:
        up = fedforge("federation", "up", "--nodes", "0", "--port", "0", home=home)
        try:
            for mode, speeds in SPEEDS.items():
                asked = [*options, "--mode", mode]
                handed = home.root / f"handed-{mode}"
                fedforge("shards", "blood", str(handed), *asked, home=home)
                with (
                    BadLink(LinkAddress.parse(up["address"]).port) as line,
                    _node(line, handed / site_folder(0), site.root),
                ):
                    for speed in speeds:
                        line.slow(1000 * speed)
                        run = run_federation(*asked, *_ONE_ROUND, "--superlink", up["address"], home=home)
                        results[f"line_{mode}_{speed}_round_seconds"] = round_seconds(run)
                        results[f"line_{mode}_megabytes_a_round"] = sum(
                            (event.payload_bytes or 0) / 1e6
                            for event in run.events
                            if isinstance(event, (ModelDispatched, ClientUpdateUploaded)) and event.round
                        )
        finally:
            fedforge("federation", "down", home=home)
    return results


@contextmanager
def _node(line: BadLink, shard: Path, home: Path) -> Iterator[None]:
    words = ["node", "--superlink", line.address, "--site", "0", "--shards", str(shard), "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, "-m", "fedforge_runtime.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
