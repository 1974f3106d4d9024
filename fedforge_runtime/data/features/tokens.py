"""The tokens that enter the last block: what is constant when the block is trained.

They take 151 kB an image for DeiT-tiny, eight hundred times what a feature takes; whoever asks for them is told
before they are computed. They depend on the layers below the last block alone, so that a phase that starts from
the block of another one uses the same tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.data.features.images import ImageReader, open_backbone
from fedforge_runtime.data.features.preprocess import numeric_versions
from fedforge_runtime.data.features.row_pass import (
    BATCH,
    Chunk,
    PassImages,
    PassTools,
    array_file,
    prepare_rows,
    refuse_unless_finite,
)
from fedforge_runtime.data.sources.datasets import Split
from fedforge_runtime.storage.artifacts import Artifact
from fedforge_runtime.telemetry.control import await_result, present_control

TOKENS = "tokens"


def prepare_tokens(
    images: PassImages,
    preprocessing: Artifact,
    backbone: Backbone,
    *,
    tools: PassTools,
) -> Artifact:
    """The artifact `tokens`: `tokens_<split>.npy` float32 (rows, tokens, hidden_size), `labels_<split>.npy` int64.

    Raises:
        StorageError: not enough room on the disk.
        DataError: the backbone gave a value that is not finite.
    """
    trunk: Trunk = await_result(tools.pool.submit(describe_trunk, backbone.path), present_control())
    unshifted = {
        "dataset": images.dataset.key,
        "preprocess": preprocessing.key,
        "trunk_sha256": trunk.sha256,
        "depth": f"tokens_entering_block_{trunk.last_block}",
        "dtype": "float32",
        "versions": numeric_versions(),
        "code": 1,
    }
    return prepare_rows(
        TOKENS,
        unshifted,
        images,
        row_shape=trunk.output_shape,
        compute=_Tokens(ImageReader.of(images.dataset, preprocessing, images.scanners), backbone.path),
        facts={},
        tools=tools,
    )


def load_tokens(folder: Path, split: Split) -> NDArray[np.float32]:
    """Memory-mapped tokens (rows, tokens, hidden_size) of one split; the file stays as it is."""
    tokens: NDArray[np.float32] = np.load(array_file(folder, TOKENS, split), mmap_mode="c", allow_pickle=False)
    return tokens


@dataclass(frozen=True)
class Trunk:
    """The part of a backbone below its last block."""

    sha256: str
    """Over its tensors, as `model_sha256`."""
    last_block: int
    output_shape: tuple[int, int]
    """Tokens and hidden size."""


def describe_trunk(folder: Path) -> Trunk:
    """In a worker: the trunk of a backbone folder."""
    from fedforge_runtime.learning.model import is_trunk
    from fedforge_runtime.learning.parameters import model_sha256

    model = open_backbone(folder)
    layers = len(model.layers)
    trunk = {name: value.numpy() for name, value in model.named_parameters() if is_trunk(name, layers)}
    _, tokens, size = model.embeddings.position_embeddings.shape
    return Trunk(model_sha256(trunk), layers - 1, (tokens, size))


@dataclass(frozen=True)
class _Tokens:
    """In a worker: the tokens of a chunk."""

    reader: ImageReader
    backbone: Path

    def __call__(self, chunk: Chunk, file: Path) -> None:
        import torch

        from fedforge_runtime.learning.model import tokens_before_last_block

        model = open_backbone(self.backbone)
        output = np.load(file, mmap_mode="r+", allow_pickle=False)
        for first in range(chunk.start, chunk.stop, BATCH):
            rows = range(first, min(first + BATCH, chunk.stop))
            with torch.inference_mode():
                tokens = tokens_before_last_block(model, self.reader.read(chunk.split, rows)[0]).numpy()
            refuse_unless_finite(tokens, self.backbone, chunk.split, rows)
            output[rows.start : rows.stop] = tokens
        output.flush()
