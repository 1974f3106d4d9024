"""A small fixed task of training and inference: what a device does with it says whether it can be relied on.

It goes through what runs go through: a ViT's forward pass, `Trainer` on the head with FedProx's term, and `Trainer`
on a last block and the head. Weights and inputs are drawn by the CPU from fixed seeds, so that every device is
given the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import Device, LearningConfig
from fedforge_runtime.learning.model import FeatureHead, Head, TokenHead, class_token, tokens_before_last_block
from fedforge_runtime.learning.parameters import Parameters, ProbeResult, initial_head
from fedforge_runtime.learning.rows import FeatureRows, Rows, TokenRows
from fedforge_runtime.learning.sums import FeatureSums, Standardisation
from fedforge_runtime.learning.training import train_model
from fedforge_runtime.seeds import derive_seed

_SEED = 17
_CLASSES = 4
_IMAGES = 64
_ARCHITECTURE = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "image_size": 32,
    "patch_size": 8,
}


def run_probe(device: Device) -> ProbeResult:
    """Features, trained head, trained last block and logits, as `device` computes them in fp32.

    Raises:
        RuntimeError: the work was done on another device than asked.
        Others: whatever PyTorch raises on a device that cannot do the work.
    """
    started = monotonic()
    backbone = _backbone()
    pixels = torch.from_numpy(_normal("pixels", (_IMAGES, 3, 32, 32)))
    labels = np.arange(_IMAGES, dtype=np.int64) % _CLASSES
    with torch.inference_mode():
        features = class_token(backbone.to(device), pixels.to(device)).cpu().numpy()
        tokens = tokens_before_last_block(backbone, pixels.to(device)).cpu().numpy()
    backbone.to("cpu")
    standardisation = Standardisation.from_sums([FeatureSums.of(features)])
    head = FeatureHead(features.shape[1], _CLASSES, standardisation)
    block = TokenHead(backbone, _CLASSES, standardisation)
    rows = np.arange(_IMAGES, dtype=np.int64)
    trained_head = _trained(head, FeatureRows(features, labels), device, proximal_mu=0.1)
    trained_block = _trained(block, TokenRows(tokens, labels, rows), device)
    with torch.inference_mode():
        logits = head(torch.from_numpy(features).to(device))["logits"].cpu().numpy()
    values = {
        "features": features,
        "logits": logits,
        **{f"head.{name}": value for name, value in trained_head.items()},
        **{f"block.{name}": value for name, value in trained_block.items()},
    }
    return ProbeResult(values, monotonic() - started)


def train_small_head(site: int, *, feature_size: int = 192) -> Parameters:
    """On the CPU: one epoch of `Trainer` over 240 drawn rows of one of many sites; the same site, the same bits."""
    features = _normal("site", (240, feature_size), site)
    labels = np.arange(len(features), dtype=np.int64) % _CLASSES
    return _trained(FeatureHead(feature_size, _CLASSES, None), FeatureRows(features, labels), "cpu", seed=_SEED + site)


def _trained(model: Head, rows: Rows, device: Device, *, proximal_mu: float = 0.0, seed: int = _SEED) -> Parameters:
    with torch.no_grad():
        for name, value in initial_head(model.classifier.in_features, _CLASSES, seed=_SEED).items():
            model.get_parameter(name).copy_(torch.from_numpy(value))
    outcome = train_model(
        model,
        training_rows=rows,
        validation_rows=rows,
        learning=LearningConfig(learning_rate=1e-2, device=device),
        seed=seed,
        proximal_mu=proximal_mu,
    )
    used = model.classifier.weight.device.type
    if used != device:
        raise RuntimeError(f"the probe was to run on {device} and ran on {used}")
    return outcome.parameters


def _backbone() -> Any:
    from transformers import ViTConfig, ViTModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = ViTModel(ViTConfig(**_ARCHITECTURE), add_pooling_layer=False)
    return model.eval().requires_grad_(False)


def _normal(purpose: str, shape: tuple[int, ...], *number: int) -> NDArray[np.float32]:
    return np.random.default_rng(derive_seed(_SEED, purpose, *number)).normal(size=shape).astype(np.float32)
