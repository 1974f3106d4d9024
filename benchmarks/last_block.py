"""Rounds that train the last block: on cached tokens, and through the whole backbone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.durations import round_seconds
from benchmarks.figures import Results
from benchmarks.product import fedforge, run_federation
from benchmarks.subject import Subject, fresh_home

_LAST_BLOCK = ("--mode", "last_block")


def measure(subject: Subject) -> Results:
    """The median round of each kind on the same subset, and what its tokens occupy."""
    effort = subject.effort
    options = [*subject.options(limit=effort.subset_limit), *_LAST_BLOCK]
    with fresh_home() as home:
        prepared = fedforge("prepare", "blood", *options, home=home)
        tokens = sum(file.stat().st_size for file in Path(prepared["tokens"]["path"]).glob("tokens_*.npy"))
        cached = run_federation(*options, "--rounds", str(effort.rounds), home=home)
        without_cache = ("--rounds", str(effort.slow_rounds), "--set", "learning.cache_features=false")
        uncached = run_federation(*options, *without_cache, home=home)
    return {
        "last_block_round_seconds": round_seconds(cached),
        "last_block_uncached_round_seconds": round_seconds(uncached),
        "last_block_round_ratio": round_seconds(uncached) / round_seconds(cached),
        "last_block_rows": effort.subset_limit,
        "last_block_token_kilobytes_an_image": tokens / effort.subset_limit / 1000,
    }
