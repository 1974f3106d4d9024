"""From launching a run to the first client's training, features being present."""

from __future__ import annotations

from statistics import median

from benchmarks.durations import startup_seconds
from benchmarks.figures import Results
from benchmarks.product import run_federation
from benchmarks.subject import Subject


def measure(subject: Subject) -> Results:
    """The median of several launches on our engine, and one on Flower's Ray runtime."""
    options = [*subject.options(limit=subject.effort.dataset_limit), "--rounds", "1"]
    with subject.home_with_features() as home:
        own = [startup_seconds(run_federation(*options, home=home)) for _ in range(subject.effort.startups)]
        ray = startup_seconds(run_federation(*options, "--engine", "ray", home=home))
    return {
        "startup_seconds": median(own),
        "startup_launches": len(own),
        "startup_slowest_seconds": max(own),
        "ray_startup_seconds": ray,
    }
