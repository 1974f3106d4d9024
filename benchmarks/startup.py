"""From launching a run to the first client's training, features being present."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks.durations import startup_seconds
from benchmarks.figures import Results
from benchmarks.product import run_federation
from benchmarks.subject import Subject


def measure(subject: Subject) -> Results:
    """The median of several launches on our engine, one on Flower's Ray runtime, and what compiled files are worth."""
    options = [*subject.options(limit=subject.effort.dataset_limit), "--rounds", "1"]
    with subject.home_with_features() as home:
        own = [startup_seconds(run_federation(*options, home=home)) for _ in range(subject.effort.startups)]
        ray = startup_seconds(run_federation(*options, "--engine", "ray", home=home))
        with _compiled_files_of_its_own():
            compiling = startup_seconds(run_federation(*options, home=home))
            kept = startup_seconds(run_federation(*options, home=home))
    return {
        "startup_seconds": median(own),
        "startup_launches": len(own),
        "startup_slowest_seconds": max(own),
        "ray_startup_seconds": ray,
        "startup_compiling_seconds": compiling,
        "startup_compiled_by_it_seconds": kept,
    }


@contextmanager
def _compiled_files_of_its_own() -> Iterator[None]:
    """Where commands find nothing compiled, and keep what they compile: as where nothing is written beside sources."""
    name = "PYTHONPYCACHEPREFIX"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before
