"""An answer that a site could not have meant has a reason, whatever is in it; one that it could has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.federation import messages
from fedforge_runtime.federation.flaws import flaw_of_evaluation, flaw_of_moments, flaw_of_sums, flaw_of_update
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums, Standardisation

FEATURES, CLASSES = 3, 2
MODEL = messages.to_arrays({"classifier.weight": np.zeros((2, 3), np.float32), "classifier.bias": np.zeros(2)})
ROWS = np.random.default_rng(3).normal(size=(5, FEATURES))
NUMBERS: dict[str, Any] = {
    messages.ROWS: 12,
    messages.VALIDATION_ROWS: 2,
    messages.TRAINING_LOSS: 0.5,
    messages.SECONDS: 0.1,
}


def update(numbers: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None) -> RecordDict:
    return RecordDict(
        {
            messages.ARRAYS: MODEL,
            messages.METRICS: MetricRecord(NUMBERS if numbers is None else numbers),
            messages.EVALUATION: ConfigRecord({"accuracy": 0.5, "loss": 0.1} if evaluation is None else evaluation),
        }
    )


def evaluation(metrics: dict[str, Any], rows: Any = 3) -> RecordDict:
    return RecordDict(
        {messages.METRICS: MetricRecord({messages.ROWS: rows}), messages.EVALUATION: ConfigRecord(metrics)}
    )


def sums(**changes: Any) -> RecordDict:
    content = messages.sums_content(FeatureSums.of(ROWS))
    for name, value in changes.items():
        content.array_records[messages.SUMS][name] = Array(value)
    return content


def test_what_a_site_means_has_no_flaw() -> None:
    template = messages.moments_template(FEATURES, CLASSES)
    moments = messages.moments_content(FeatureMoments.of(ROWS, np.array([0, 1, 0, 1, 0]), CLASSES))

    assert flaw_of_update(update(), MODEL) == ""
    assert flaw_of_evaluation(evaluation({"accuracy": 1.0})) == ""
    assert flaw_of_evaluation(evaluation({})) == ""
    assert flaw_of_sums(sums(), FEATURES) == ""
    assert flaw_of_moments(moments, template) == ""


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"accuracy": "n/a"}, "the metric accuracy is 'n/a', which is no finite number"),
        ({"accuracy": math.nan}, "the metric accuracy is 'nan'"),
        ({"loss": math.inf}, "the metric loss is 'inf'"),
        ({"loss": b"0.5"}, "the metric loss is"),
        ({"loss": True}, "the metric loss is"),
        ({"loss": [0.1, 0.2]}, "the metric loss is"),
        ({"accuracy; drop": 0.5}, "'accuracy; drop' is no metric"),
    ],
)
def test_metrics_that_are_no_numbers_are_a_flaw_of_the_evaluation_and_of_the_update(
    metrics: dict[str, Any], words: str
) -> None:
    assert words in flaw_of_evaluation(evaluation(metrics))
    assert words in flaw_of_update(update(evaluation=metrics), MODEL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({messages.ROWS: 0}, "counts no rows"),
        ({messages.ROWS: -1}, "is no count"),
        ({messages.ROWS: 1.5}, "is no count"),
        ({messages.VALIDATION_ROWS: -2}, "is no count"),
        ({messages.ROWS: math.nan}, "missing or not a finite number"),
        ({messages.ROWS: [3, 4]}, "missing or not a finite number"),
        ({messages.SECONDS: math.inf}, "missing or not a finite number"),
        ({"another": 1.0}, "the update's numbers are another"),
    ],
)
def test_numbers_of_an_update_are_those_asked_for_and_plausible(change: dict[str, Any], words: str) -> None:
    assert words in flaw_of_update(update(NUMBERS | change), MODEL)


def test_an_array_of_bytes_that_are_no_array_is_a_flaw() -> None:
    content = update()
    broken = Array(dtype="float32", shape=(2, 3), stype="numpy.ndarray", data=b"not an array")
    content.array_records[messages.ARRAYS] = ArrayRecord(
        {"classifier.weight": broken, "classifier.bias": Array(np.zeros(2))}
    )

    assert "the update's classifier.weight cannot be read" in flaw_of_update(content, MODEL)


def test_records_that_nobody_asked_for_are_a_flaw() -> None:
    content = update()
    content["more"] = MetricRecord({"x": 1})

    assert "holds records that nobody asked for: more" in flaw_of_update(content, MODEL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total": np.zeros(4)}, "has shape (4,), not (3,)"),
        ({"total": np.array([0.0, np.nan, 0.0])}, "not finite"),
        ({"total": np.array(["a", "b", "c"])}, "has type"),
        ({"total_of_squares": np.array([1.0, -1.0, 1.0])}, "negative values"),
        ({"total": np.full(3, 1e300)}, "larger than any that features have"),
        ({"total_of_squares": np.full(3, 1e300)}, "larger than any that features have"),
    ],
)
def test_sums_that_no_features_have_are_a_flaw(changes: dict[str, Any], words: str) -> None:
    assert words in flaw_of_sums(sums(**changes), FEATURES)


@given(
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.one_of(st.integers(-10, 10), st.floats(width=64)),
)
def test_sums_without_a_flaw_make_a_standardisation_of_finite_numbers(total: float, squares: float, rows: Any) -> None:
    content = sums(total=np.full(FEATURES, total), total_of_squares=np.full(FEATURES, squares))
    content.metric_records[messages.METRICS][messages.ROWS] = rows

    if flaw_of_sums(content, FEATURES) == "":
        made = Standardisation.from_sums([messages.read_sums(content)])
        assert np.isfinite(made.mean).all()
        assert np.isfinite(made.scale).all()


VALUES = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5), st.binary(max_size=5), st.booleans())
NAMES = st.one_of(st.sampled_from([*NUMBERS, "accuracy", "loss", "auc"]), st.text(max_size=8))
METRICS = st.dictionaries(NAMES, st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.lists(st.floats())))


@pytest.mark.parametrize(
    "flaw", [flaw_of_evaluation, lambda content: flaw_of_update(content, MODEL), lambda c: flaw_of_sums(c, FEATURES)]
)
@given(config=st.dictionaries(NAMES, VALUES), metrics=METRICS, names=st.permutations(["a", "b", "c"]))
def test_whatever_an_answer_holds_it_is_judged_and_never_raises(
    flaw: Callable[[RecordDict], str], config: dict[str, Any], metrics: dict[str, Any], names: list[str]
) -> None:
    content = RecordDict({names[0]: ConfigRecord(config), messages.METRICS: MetricRecord(metrics)})
    content[messages.EVALUATION] = ConfigRecord(config)
    content[names[1]] = MODEL

    reason = flaw(content)

    assert reason or flaw is flaw_of_evaluation
    if not reason:
        assert all(isinstance(value, (int, float)) and math.isfinite(value) for value in config.values())
