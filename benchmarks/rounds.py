"""A cached round in which clients train with `Trainer` on all their rows, on our engine and on Flower's Ray runtime."""

from __future__ import annotations

from benchmarks.durations import round_seconds, round_seconds_without_evaluation
from benchmarks.figures import Results
from benchmarks.product import run_federation
from benchmarks.subject import Subject

_RAY_ROUNDS = 5


def measure(subject: Subject) -> Results:
    """The median round of one run on each engine; clients keep a single row each for their own evaluation."""
    effort = subject.effort
    rounds = min(effort.rounds, _RAY_ROUNDS)
    options = [*subject.options(limit=effort.dataset_limit), "--set", "partition.validation_fraction=1e-6"]
    with subject.home_with_features() as home:
        own = run_federation(*options, "--rounds", str(effort.rounds), home=home)
        ray = run_federation(*options, "--rounds", str(rounds), "--engine", "ray", home=home)
    own_round, ray_round = round_seconds_without_evaluation(own), round_seconds_without_evaluation(ray)
    return {
        "cached_round_trainer_seconds": own_round,
        "cached_round_trainer_with_evaluation_seconds": round_seconds(own),
        "cached_round_trainer_rows": sum(client["rows"] for client in own.summary["clients"]),
        "ray_round_seconds": ray_round,
        "ray_round_with_evaluation_seconds": round_seconds(ray),
        "ray_round_ratio": ray_round / own_round,
        "same_model_on_both_engines": own.model_after(rounds) == ray.model_after(rounds),
    }
