"""A model's hash names its tensors exactly, and its first values come from the seed."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedforge_runtime.learning.parameters import Parameters, initial_head, model_sha256

ARRAYS = arrays.arrays(
    st.sampled_from([np.dtype(name) for name in ("float32", "float64", "int64", "float16", "bool")]),
    arrays.array_shapes(min_dims=0, max_dims=3, max_side=3),
)
MODELS = st.dictionaries(st.text(min_size=1, max_size=8), ARRAYS, min_size=1, max_size=4)


def test_the_hash_is_that_of_name_type_shape_and_bytes() -> None:
    weight = np.array([[1.0, 2.0]], dtype=np.float32)
    bias = np.array([0.5], dtype=np.float32)
    expected = hashlib.sha256(
        b"bias\0float32\x001\0" + bias.tobytes() + b"weight\0float32\x001,2\0" + weight.tobytes()
    ).hexdigest()

    assert model_sha256({"weight": weight, "bias": bias}) == expected


@given(model=MODELS, disorder=st.randoms())
def test_the_order_of_tensors_does_not_matter(model: Parameters, disorder: random.Random) -> None:
    items = list(model.items())
    disorder.shuffle(items)

    assert model_sha256(dict(items)) == model_sha256(model)


@given(model=MODELS)
def test_the_order_of_bytes_in_memory_does_not_matter(model: Parameters) -> None:
    swapped = {
        name: np.asarray(value).astype(np.asarray(value).dtype.newbyteorder(">")) for name, value in model.items()
    }

    assert model_sha256(swapped) == model_sha256(model)


@given(model=MODELS)
def test_the_layout_in_memory_does_not_matter(model: Parameters) -> None:
    assert model_sha256({name: np.array(value, order="F") for name, value in model.items()}) == model_sha256(model)
    apart = {name: np.stack([value, value], axis=-1)[..., 0] for name, value in model.items()}
    assert model_sha256(apart) == model_sha256(model)


@given(model=MODELS)
def test_a_copy_has_the_same_hash_and_hashing_changes_nothing(model: Parameters) -> None:
    before = {name: np.asarray(value).tobytes() for name, value in model.items()}

    assert model_sha256({name: np.array(value) for name, value in model.items()}) == model_sha256(model)
    assert {name: np.asarray(value).tobytes() for name, value in model.items()} == before


@pytest.mark.parametrize(
    "other",
    [
        {"w": np.zeros((2, 3), np.float64)},
        {"w": np.zeros((2, 3), np.int32)},
        {"w": np.zeros((3, 2), np.float32)},
        {"w": np.zeros(6, np.float32)},
        {"v": np.zeros((2, 3), np.float32)},
        {"w": np.full((2, 3), -0.0, np.float32)},
        {"w": np.full((2, 3), 1e-45, np.float32)},
        {"w": np.zeros((2, 3), np.float32), "more": np.zeros(0, np.float32)},
        {},
    ],
)
def test_another_type_shape_name_or_bit_is_another_model(other: Parameters) -> None:
    assert model_sha256(other) != model_sha256({"w": np.zeros((2, 3), np.float32)})


def test_names_and_shapes_cannot_be_confused_with_values() -> None:
    value = np.frombuffer(b"b\0float32\x001\x00abcd", dtype=np.uint8)

    assert model_sha256({"a": value}) != model_sha256({"a": value[:0], "b": np.frombuffer(b"abcd", np.float32)})


def test_the_first_head_depends_on_the_seed_alone() -> None:
    first = initial_head(192, 8, seed=17)

    assert model_sha256(first) == model_sha256(initial_head(192, 8, seed=17))
    assert model_sha256(first) != model_sha256(initial_head(192, 8, seed=18))


def test_the_first_head_has_the_shapes_and_spread_of_a_fresh_vit_classifier() -> None:
    head = initial_head(192, 8, seed=17)
    weight, bias = head["classifier.weight"], head["classifier.bias"]

    assert (weight.shape, weight.dtype) == ((8, 192), np.float32)
    assert (bias.shape, bias.dtype) == ((8,), np.float32)
    assert not bias.any()
    assert weight.std() == pytest.approx(0.02, rel=0.05)
