"""Model parameters as plain arrays: initial values and the hash that identifies a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.seeds import derive_seed

Parameters = dict[str, NDArray[Any]]


def initial_head(feature_size: int, class_count: int, *, seed: int) -> Parameters:
    """The head before the first round, as ViT initialises it: weights from N(0, 0.02²), biases 0."""
    generator = np.random.default_rng(derive_seed(seed, "initial-head"))
    weight = generator.normal(0.0, 0.02, size=(class_count, feature_size)).astype(np.float32)
    return {"classifier.weight": weight, "classifier.bias": np.zeros(class_count, dtype=np.float32)}


def model_sha256(parameters: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the trainable tensors sorted by name: name, dtype, shape, raw little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.asarray(parameters[name])
        little_endian = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        for part in (name, array.dtype.name, ",".join(map(str, array.shape))):
            digest.update(part.encode() + b"\0")
        digest.update(little_endian.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class ProbeResult:
    """What the fixed task gave on one device."""

    values: Mapping[str, NDArray[np.float32]]
    """By name: trained weights, logits, features."""
    seconds: float

    @property
    def sha256(self) -> str:
        """Equal for equal bits."""
        return model_sha256(self.values)
