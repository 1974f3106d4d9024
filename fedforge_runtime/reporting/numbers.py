"""How numbers are written on a page."""

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


def count(value: float) -> str:
    return f"{value:,.0f}"


def size(number_of_bytes: float) -> str:
    """For example `1.2 MB`; decimal units."""
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """For example `0.42 s`, `51 s`, `12 min 5 s`, `2 h 3 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
