"""The frozen backbone's output, computed once and memory-mapped by every client, round, run and sweep.

A feature is `last_hidden_state[:, 0]` after the final layer norm: what `ViTForImageClassification` feeds to its
classifier. Where the tokens that enter the last block are there already, it is computed from them, operation by
operation as the backbone does it, which gives the same bits.

These tokens are what is constant when the last block is trained. They take 151 kB an image for DeiT-tiny, eight
hundred times what a feature takes; whoever asks for them is told before they are computed. They depend on the layers
below the last block alone, so that a phase that starts from the block of another one uses the same tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.features.backbone import Backbone
from fedforge_runtime.data.features.preprocess import ImageReader, numeric_versions
from fedforge_runtime.data.features.row_pass import (
    BATCH,
    Chunk,
    PassImages,
    PassTools,
    array_file,
    prepare_rows,
)
from fedforge_runtime.data.sources.datasets import Split, labels_file
from fedforge_runtime.errors import DataError
from fedforge_runtime.storage.artifacts import Artifact
from fedforge_runtime.telemetry.control import await_result, present_control

FEATURES, TOKENS = "features", "tokens"


def prepare_features(
    images: PassImages,
    preprocessing: Artifact,
    backbone: Backbone,
    *,
    tokens: Artifact | None,
    tools: PassTools,
) -> Artifact:
    """The artifact `features`: `features_<split>.npy` float32 (rows, hidden_size), `labels_<split>.npy` int64.

    Args:
        tokens: of the same images and backbone, to compute the features from.

    Raises:
        StorageError: not enough room on the disk.
        DataError: the backbone gave a value that is not finite.
    """
    reader = ImageReader.of(images.dataset, preprocessing, images.scanners)
    return prepare_rows(
        FEATURES,
        {
            "dataset": images.dataset.key,
            "preprocess": preprocessing.key,
            "backbone_sha256": backbone.sha256,
            "depth": "class_token_after_final_norm",
            "dtype": "float32",
            "versions": numeric_versions(),
            "code": 1,
        },
        images,
        row_shape=(backbone.hidden_size,),
        compute=_Forward(FEATURES, reader, backbone.path, tokens.path if tokens else None),
        facts={"feature_size": backbone.hidden_size, "backbone": backbone.name, "trained": backbone.trained},
        tools=tools,
    )


def load_features(folder: Path, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Memory-mapped features (rows, hidden_size) and labels (rows,) of one split; the files stay as they are."""
    # Copy-on-write: nobody writes, but torch warns of arrays that it could not write to.
    features = np.load(array_file(folder, FEATURES, split), mmap_mode="c", allow_pickle=False)
    labels = np.load(labels_file(folder, split), mmap_mode="c", allow_pickle=False)
    return features, labels


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
    return prepare_rows(
        TOKENS,
        {
            "dataset": images.dataset.key,
            "preprocess": preprocessing.key,
            "trunk_sha256": trunk.sha256,
            "depth": f"tokens_entering_block_{trunk.last_block}",
            "dtype": "float32",
            "versions": numeric_versions(),
            "code": 1,
        },
        images,
        row_shape=trunk.output_shape,
        compute=_Forward(TOKENS, ImageReader.of(images.dataset, preprocessing, images.scanners), backbone.path),
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
    from fedforge_runtime.learning.model import is_trunk, open_backbone
    from fedforge_runtime.learning.parameters import model_sha256

    model = open_backbone(folder)
    layers = len(model.layers)
    trunk = {name: value.numpy() for name, value in model.named_parameters() if is_trunk(name, layers)}
    _, tokens, size = model.embeddings.position_embeddings.shape
    return Trunk(model_sha256(trunk), layers - 1, (tokens, size))


@dataclass(frozen=True)
class _Forward:
    """In a worker: the features or the tokens of a chunk.

    Args:
        what: `FEATURES` or `TOKENS`.
        tokens: folder of the tokens that features are computed from; by default they are computed from images.
    """

    what: str
    reader: ImageReader
    backbone: Path
    tokens: Path | None = None

    def __call__(self, chunk: Chunk, file: Path) -> None:
        import torch

        from fedforge_runtime.learning import model

        backbone = model.open_backbone(self.backbone)
        of_pixels = model.tokens_before_last_block if self.what == TOKENS else model.class_token
        tokens = load_tokens(self.tokens, chunk.split) if self.tokens else None
        output = np.load(file, mmap_mode="r+", allow_pickle=False)
        for first in range(chunk.start, chunk.stop, BATCH):
            rows = range(first, min(first + BATCH, chunk.stop))
            with torch.inference_mode():
                if tokens is not None:
                    some = torch.from_numpy(tokens[rows.start : rows.stop])
                    values = model.class_token_through_block(backbone, some).numpy()
                else:
                    values = of_pixels(backbone, self.reader.read(chunk.split, rows)[0]).numpy()
            if not np.isfinite(values).all():
                raise DataError(
                    f"the backbone {self.backbone} gave values that are not finite for {chunk.split} rows "
                    f"{rows.start}-{rows.stop - 1}.",
                    remedy="The checkpoint is broken, or the images are.",
                )
            output[rows.start : rows.stop] = values
        output.flush()
