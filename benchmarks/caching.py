"""What the cache of features costs and what it gains: rounds with it and without it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.durations import round_seconds
from benchmarks.figures import Results
from benchmarks.product import fedforge, run_federation
from benchmarks.subject import Subject, fresh_home
from fedforge_runtime.storage.artifacts import MANIFEST, read_json

_TWENTY = 20


def measure(subject: Subject) -> Results:
    """The feature pass and both kinds of rounds on a subset, the cached rounds on everything.

    The time without a cache is scaled from the subset: what a round without a cache costs more there, times the
    ratio of training rows, plus the cached round on everything. Fixed costs are not scaled.
    """
    effort = subject.effort
    subset = subject.options(limit=effort.subset_limit)
    with fresh_home() as home:
        artifacts = fedforge("prepare", "blood", *subset, home=home)
        images_per_second = read_json(Path(artifacts["features"]["path"]) / MANIFEST)["facts"]["images_per_second"]
        cached_subset = run_federation(*subset, "--rounds", str(effort.rounds), home=home)
        uncached_options = ("--rounds", str(effort.slow_rounds), "--set", "learning.cache_features=false")
        uncached_subset = run_federation(*subset, *uncached_options, home=home)
        subset_rows = _training_rows(cached_subset.summary)
    with subject.home_with_features() as home:
        cached = run_federation(*subject.options(limit=effort.dataset_limit), "--rounds", str(effort.rounds), home=home)
        rows = _training_rows(cached.summary)
        images = sum(read_json(cached.folder.metrics)["data"]["rows"].values())
    cached_round = round_seconds(cached)
    backbone_share = round_seconds(uncached_subset) - round_seconds(cached_subset)
    uncached_round = cached_round + backbone_share * rows / subset_rows
    outside_rounds = cached.seconds - effort.rounds * cached_round
    with_features = images / images_per_second + _TWENTY * cached_round + outside_rounds
    without_features = _TWENTY * uncached_round + outside_rounds
    return {
        "feature_images_per_second": images_per_second,
        "feature_pass_rows": effort.subset_limit,
        "cached_round_seconds": cached_round,
        "cached_round_rows": rows,
        "uncached_round_seconds": uncached_round,
        "uncached_scaled_from_rows": subset_rows,
        "uncached_subset_round_seconds": round_seconds(uncached_subset),
        "cached_subset_round_seconds": round_seconds(cached_subset),
        "uncached_round_ratio": uncached_round / cached_round,
        "twenty_rounds_with_features_seconds": with_features,
        "twenty_uncached_rounds_seconds": without_features,
        "twenty_rounds_ratio": without_features / with_features,
        "twenty_rounds_include": "feature pass (first only), start-up, rounds with evaluation, export",
        "accuracy": cached.summary["metrics"]["accuracy"],
        "balanced_accuracy": cached.summary["metrics"]["balanced_accuracy"],
        "accuracy_after_rounds": effort.rounds,
    }


def _training_rows(summary: dict[str, object]) -> int:
    """Rows of the clients' training and validation together."""
    return sum(client["rows"] + client["validation_rows"] for client in summary["clients"])  # type: ignore[attr-defined]
