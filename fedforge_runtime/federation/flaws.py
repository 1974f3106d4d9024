"""What is wrong with an answer: one that a site could not have meant is that site's error, and not the run's end.

Every function gives the reason why an answer's content cannot be used, and an empty text where it can.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, RecordDict

from fedforge_runtime.federation import messages
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.wording import some_of

_UPDATE_NUMBERS = (messages.VALIDATION_ROWS, messages.TRAINING_LOSS, messages.SECONDS)
_COUNTS = (messages.ROWS, messages.VALIDATION_ROWS)
_MOST_LISTED = 12
"""Of names that somebody else has chosen."""


def flaw_of_update(content: RecordDict, expected: ArrayRecord) -> str:
    """Of an answer to a train message.

    Args:
        expected: tensors with the names, kinds and shapes that an update must have.
    """
    return (
        _flaw_of_arrays(content, messages.ARRAYS, expected)
        or _flaw_of_numbers(content, (messages.ROWS, *_UPDATE_NUMBERS))
        or _flaw_of_metrics(content)
        or _flaw_of_names(content, {messages.ARRAYS, messages.METRICS, messages.EVALUATION})
    )


def flaw_of_evaluation(content: RecordDict) -> str:
    """Of an answer to an evaluate message."""
    return _flaw_of_numbers(content, (messages.ROWS,)) or _flaw_of_metrics(content)


def flaw_of_sums(content: RecordDict, feature_size: int) -> str:
    """Of an answer to the statistics exchange."""
    return (
        _flaw_of_arrays(content, messages.SUMS, messages.sums_template(feature_size))
        or _flaw_of_numbers(content, (messages.ROWS,))
        or _flaw_of_spread(content)
    )


def flaw_of_moments(content: RecordDict, template: ArrayRecord) -> str:
    """Of an answer to the exchange of moments; `template` has their shapes."""
    return _flaw_of_arrays(content, messages.MOMENTS, template) or _flaw_of_numbers(content, (messages.ROWS,))


def _flaw_of_arrays(content: RecordDict, record: str, expected: ArrayRecord) -> str:
    update = content.array_records.get(record)
    if update is None or update.keys() != expected.keys():
        return "the update does not hold the tensors that were asked for"
    for name, array in update.items():
        wanted = expected[name].numpy()
        try:
            value = array.numpy()
        except Exception as error:  # whatever NumPy makes of bytes that somebody else has chosen
            return f"the update's {name} cannot be read: {type(error).__name__}: {error}"
        if value.dtype.kind != wanted.dtype.kind:
            return f"the update's {name} has type {value.dtype}, not {wanted.dtype}"
        if value.shape != wanted.shape:
            return f"the update's {name} has shape {value.shape}, not {wanted.shape}"
        if not np.isfinite(value).all():
            return f"the update's {name} has values that are not finite"
    return ""


def _flaw_of_numbers(content: RecordDict, names: Sequence[str]) -> str:
    """The answer's numbers are those of these names, finite, and counts are whole and not negative."""
    metrics: Mapping[str, Any] = content.metric_records.get(messages.METRICS) or {}
    for name in names:
        value: Any = metrics.get(name)
        if not _is_finite(value):
            return f"the update's {name} is missing or not a finite number"
        if name in _COUNTS and (value != int(value) or value < 0):
            return f"the update's {name} is {value:g}, which is no count"
    if metrics.keys() != set(names):
        return f"the update's numbers are {_listed(metrics)}, not {_listed(names)}"
    return "" if metrics[messages.ROWS] > 0 else "the update counts no rows"


def _flaw_of_metrics(content: RecordDict) -> str:
    metrics: Mapping[str, Any] = content.config_records.get(messages.EVALUATION) or {}
    for name, value in metrics.items():
        if name not in METRIC_NAMES:
            return f"{name[:100]!r} is no metric"
        if not _is_finite(value):
            return f"the metric {name} is {str(value)[:100]!r}, which is no finite number"
    return ""


def _flaw_of_names(content: RecordDict, known: Collection[str]) -> str:
    unknown = sorted(set(content) - set(known))
    return f"the update holds records that nobody asked for: {_listed(unknown)}" if unknown else ""


def _flaw_of_spread(content: RecordDict) -> str:
    """The standardisation can be made of the sums: no square is negative, and means have room in single precision."""
    sums = messages.read_sums(content)
    if (sums.total_of_squares < 0).any():
        return "the update's total_of_squares has negative values"
    with np.errstate(over="ignore"):
        means = np.concatenate([sums.total, sums.total_of_squares]) / sums.count
        if not np.isfinite(means.astype(np.float32)).all():
            return "the update's sums are larger than any that features have"
    return ""


def _is_finite(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _listed(names: Collection[str]) -> str:
    return some_of(sorted(name[:100] for name in names), _MOST_LISTED) or "none"
