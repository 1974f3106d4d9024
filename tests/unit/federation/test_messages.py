"""What crosses the wire comes out as it went in."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedforge_runtime.federation import messages
from fedforge_runtime.flower.messages import TaskIdentity
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums, Standardisation
from fedforge_runtime.sites.settings import RunSettings

FLOATS = arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32))


@given(parameters=st.dictionaries(st.text(min_size=1), FLOATS, max_size=4))
def test_tensors_keep_names_shapes_types_and_bits(parameters: dict[str, np.ndarray]) -> None:
    received = messages.from_arrays(messages.to_arrays(parameters))

    assert received.keys() == parameters.keys()
    for name, value in parameters.items():
        assert received[name].dtype == value.dtype
        assert received[name].shape == value.shape
        assert received[name].tobytes() == value.tobytes()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 20), dimensions=st.integers(1, 6))
def test_moments_keep_their_bits_in_half_the_room(seed: int, rows: int, dimensions: int) -> None:
    generator = np.random.default_rng(seed)
    moments = FeatureMoments.of(generator.normal(size=(rows, dimensions)), generator.integers(0, 3, rows), 3)

    content = messages.moments_content(moments)
    received = messages.read_moments(content, messages.MOMENTS)

    assert received.count == rows
    np.testing.assert_array_equal(received.gram, moments.gram)
    np.testing.assert_array_equal(received.targets, moments.targets)
    size = dimensions + 1
    assert content.array_records[messages.MOMENTS]["gram"].numpy().shape == (size * (size + 1) // 2,)


def test_a_standardisation_travels_beside_the_model_or_is_absent() -> None:
    standardisation = Standardisation(np.arange(3, dtype=np.float32), np.ones(3, dtype=np.float32))
    content = RecordDict({messages.STANDARDISATION: messages.standardisation_record(standardisation)})

    received = messages.read_standardisation(content)

    assert received is not None
    np.testing.assert_array_equal(received.mean, standardisation.mean)
    np.testing.assert_array_equal(received.scale, standardisation.scale)
    assert messages.read_standardisation(RecordDict()) is None


def test_sums_keep_double_precision() -> None:
    sums = FeatureSums(3, np.array([1 / 3, 2 / 3]), np.array([1e-300, 1e300]))

    received = messages.read_sums(messages.sums_content(sums))

    assert received.count == 3
    np.testing.assert_array_equal(received.total, sums.total)
    np.testing.assert_array_equal(received.total_of_squares, sums.total_of_squares)


def test_metrics_are_exact_and_may_be_absent() -> None:
    content = RecordDict({messages.EVALUATION: messages.evaluation_record({"loss": 1 / 3})})

    assert messages.read_evaluation(content) == {"loss": 1 / 3}
    assert messages.read_evaluation(RecordDict()) == {}


def test_an_error_has_no_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    request = Message(RecordDict({"config": ConfigRecord({"text": "four"})}), 2, "query")

    assert messages.payload_bytes(request) == len("text") + len("four")
    assert messages.payload_bytes(Message(Error(0, "a reason"), reply_to=request)) == 0


def test_the_settings_of_a_run_survive_flowers_run_config(settings: RunSettings) -> None:
    wire = settings.to_run_config()

    assert all(isinstance(value, str) for value in wire.values())
    assert RunSettings.from_run_config(wire) == settings
