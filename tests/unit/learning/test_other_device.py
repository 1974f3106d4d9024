"""Models do all their work on the device they are on, whichever that is.

The device here is PyTorch's `meta`: it computes shapes only, and refuses a tensor of any other device.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import ViTConfig, ViTModel

from fedforge_runtime.learning.model import FeatureHead, Head, ImageHead, TokenHead
from fedforge_runtime.learning.sums import FeatureSums, Standardisation

SIZE, CLASSES, ROWS = 8, 3, 4
STANDARDISATION = Standardisation.from_sums([FeatureSums.of(torch.rand(ROWS, SIZE).numpy())])


def backbone() -> ViTModel:
    config = ViTConfig(
        hidden_size=SIZE, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    )
    return ViTModel(config, add_pooling_layer=False)


MODELS = [
    (lambda: FeatureHead(SIZE, CLASSES, STANDARDISATION), (ROWS, SIZE)),
    (lambda: TokenHead(backbone(), CLASSES, STANDARDISATION), (ROWS, 5, SIZE)),
    (lambda: ImageHead(backbone(), CLASSES, STANDARDISATION, "full"), (ROWS, 3, 8, 8)),
]


@pytest.mark.parametrize("proximal_mu", [0.0, 0.1])
@pytest.mark.parametrize(("build", "shape"), MODELS, ids=["features", "tokens", "images"])
def test_a_training_step_stays_on_the_models_device(
    build: Callable[[], Head], shape: tuple[int, ...], proximal_mu: float
) -> None:
    model = build()
    model.pull_towards_present(proximal_mu)
    model.to("meta").train()

    output = model(torch.zeros(shape, device="meta"), torch.zeros(ROWS, dtype=torch.long, device="meta"))
    output["loss"].backward()

    assert output["logits"].shape == (ROWS, CLASSES)
    assert model.classifier.weight.grad is not None
