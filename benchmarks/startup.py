"""From launching a run to the first client's training, features being present."""

from __future__ import annotations

import os
import tempfile
from statistics import median
from unittest.mock import patch

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
        # Nothing compiled is found there, and what is compiled is kept: as where nothing is written beside sources.
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, PYTHONPYCACHEPREFIX=folder):
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
