"""How scores are written on a page."""

from __future__ import annotations

from fedforge_runtime.learning.confidence import Interval

ABSENT = "–"
_METRICS = {"macro_f1": "macro F1", "auc": "AUC"}


def metric(name: str) -> str:
    """A metric's name in words."""
    return _METRICS.get(name, name.replace("_", " "))


def score(value: float | None) -> str:
    """Four digits after the point, as everywhere in FedForge; a dash where there is none."""
    return ABSENT if value is None else f"{value:.4f}"


def interval(value: Interval | None) -> str:
    """For example `0.9120 (0.9016 to 0.9213)`."""
    return ABSENT if value is None else f"{value.value:.4f} ({bounds(value)})"


def bounds(value: Interval) -> str:
    """For example `0.9016 to 0.9213`."""
    return f"{value.low:.4f} to {value.high:.4f}"
