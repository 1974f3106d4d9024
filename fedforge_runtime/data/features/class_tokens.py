"""The frozen backbone's output, computed once and memory-mapped by every client, round, run and sweep.

A feature is `last_hidden_state[:, 0]` after the final layer norm: what `ViTForImageClassification` feeds to its
classifier. Where the tokens that enter the last block are there already, it is computed from them, operation by
operation as the backbone does it, which gives the same bits.
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
from fedforge_runtime.data.features.tokens import TOKENS
from fedforge_runtime.data.sources.datasets import Split, labels_file
from fedforge_runtime.storage.artifacts import Artifact

FEATURES = "features"


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
    unshifted = {
        "dataset": images.dataset.key,
        "preprocess": preprocessing.key,
        "backbone_sha256": backbone.sha256,
        "depth": "class_token_after_final_norm",
        "dtype": "float32",
        "versions": numeric_versions(),
        "code": 1,
    }
    reader = ImageReader.of(images.dataset, preprocessing, images.scanners)
    return prepare_rows(
        FEATURES,
        unshifted,
        images,
        row_shape=(backbone.hidden_size,),
        compute=_Features(reader, backbone.path, tokens.path if tokens else None),
        facts={"feature_size": backbone.hidden_size, "backbone": backbone.name, "trained": backbone.trained},
        tools=tools,
    )


def load_features(folder: Path, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Memory-mapped features (rows, hidden_size) and labels (rows,) of one split; the files stay as they are."""
    # Copy-on-write: nobody writes, but torch warns of arrays that it could not write to.
    features = np.load(array_file(folder, FEATURES, split), mmap_mode="c", allow_pickle=False)
    labels = np.load(labels_file(folder, split), mmap_mode="c", allow_pickle=False)
    return features, labels


@dataclass(frozen=True)
class _Features:
    """In a worker: the features of a chunk."""

    reader: ImageReader
    backbone: Path
    tokens: Path | None

    def __call__(self, chunk: Chunk, file: Path) -> None:
        import torch

        from fedforge_runtime.learning.model import class_token, class_token_through_block

        model = open_backbone(self.backbone)
        tokens = np.load(array_file(self.tokens, TOKENS, chunk.split), mmap_mode="c") if self.tokens else None
        output = np.load(file, mmap_mode="r+", allow_pickle=False)
        for first in range(chunk.start, chunk.stop, BATCH):
            rows = range(first, min(first + BATCH, chunk.stop))
            with torch.inference_mode():
                if tokens is not None:
                    features = class_token_through_block(model, torch.from_numpy(tokens[rows.start : rows.stop]))
                else:
                    features = class_token(model, self.reader.read(chunk.split, rows)[0])
            refuse_unless_finite(features.numpy(), self.backbone, chunk.split, rows)
            output[rows.start : rows.stop] = features.numpy()
        output.flush()
