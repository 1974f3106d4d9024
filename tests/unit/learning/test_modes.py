"""What each mode trains, and the last block on cached tokens against the backbone as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from fedforge_runtime.config import Mode
from fedforge_runtime.learning.model import (
    Head,
    ImageHead,
    TokenHead,
    class_token,
    class_token_after_block,
    class_token_through_block,
    tokens_before_last_block,
)

CLASSES, SIZE, LAYERS = 3, 24, 3


def small_backbone(**changes: Any) -> ViTModel:
    """A ViT whose norms, biases and weights are all far from their first values."""
    torch.manual_seed(5)
    config = ViTConfig(
        hidden_size=SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        intermediate_size=40,
        image_size=32,
        patch_size=8,
        **changes,
    )
    model = ViTModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    for value in model.parameters():
        value.add_(torch.randn_like(value) * 0.2)
    return model


def pixels(rows: int = 5) -> Tensor:
    return torch.randn(rows, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def test_the_features_of_tokens_are_those_of_images_to_the_bit() -> None:
    backbone, images = small_backbone(), pixels()
    with torch.inference_mode():
        tokens = tokens_before_last_block(backbone, images).clone()

        assert torch.equal(class_token_through_block(backbone, tokens), class_token(backbone, images))


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}], ids=["with biases", "without biases"])
def test_the_short_way_through_the_last_block_is_that_of_transformers(changes: dict[str, Any]) -> None:
    backbone = small_backbone(**changes)
    tokens = tokens_before_last_block(backbone, pixels()).clone()
    trained = [value for name, value in backbone.named_parameters() if name.startswith(("layers.2.", "layernorm."))]
    for value in trained:
        value.requires_grad_(True)
    weights = torch.randn(5, SIZE, generator=torch.Generator().manual_seed(1))

    values, gradients = [], []
    for way in (
        class_token_through_block(backbone, tokens),
        class_token_after_block(backbone.layers[2], backbone.layernorm, tokens),
    ):
        values.append(way)
        gradients.append(torch.autograd.grad((way * weights).sum(), trained, allow_unused=True))

    torch.testing.assert_close(values[1], values[0], atol=1e-5, rtol=1e-4)
    for whole, short in zip(*gradients, strict=True):
        torch.testing.assert_close(torch.zeros_like(whole) if short is None else short, whole, atol=2e-5, rtol=1e-3)


def test_the_tokens_are_what_enters_the_last_block() -> None:
    backbone = small_backbone()

    tokens = tokens_before_last_block(backbone, pixels())

    hidden = backbone.embeddings(pixels())
    for layer in list(backbone.layers)[:-1]:
        hidden = layer(hidden)
    assert tokens.shape == (5, 17, SIZE)
    torch.testing.assert_close(tokens, hidden)


def names_in_transformers(prefixes: tuple[str, ...]) -> set[str]:
    config = small_backbone().config
    config.num_labels = CLASSES
    return {name for name, _ in ViTForImageClassification(config).named_parameters() if name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("mode", "prefixes"),
    [
        ("head_only", ("classifier.",)),
        ("last_block", ("classifier.", f"vit.layers.{LAYERS - 1}.", "vit.layernorm.")),
        ("full", ("classifier.", "vit.")),
    ],
)
def test_a_mode_trains_these_tensors_and_no_others(mode: Mode, prefixes: tuple[str, ...]) -> None:
    model = ImageHead(small_backbone(), CLASSES, None, mode)
    before = {name: value.clone() for name, value in model.named_parameters()}

    step(model, {"pixel_values": pixels()})

    assert set(model.trainable_names()) == names_in_transformers(prefixes)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    # What is added to every key cancels in the softmax: its gradient is zero up to rounding.
    without_effect = {name for name in model.trainable_names() if name.endswith("k_proj.bias")}
    assert changed | without_effect == set(model.trainable_names())


def test_the_last_block_on_tokens_trains_what_the_last_block_on_images_does() -> None:
    on_images = ImageHead(small_backbone(), CLASSES, None, "last_block")
    on_tokens = TokenHead(small_backbone(), CLASSES, None)

    assert on_tokens.trainable().keys() == on_images.trainable().keys()
    on_tokens.load_trainable(on_images.trainable())
    tokens = tokens_before_last_block(small_backbone(), pixels()).clone()
    for _ in range(3):
        step(on_images, {"pixel_values": pixels()})
        step(on_tokens, {"tokens": tokens})

    logits = on_tokens(tokens)["logits"]
    torch.testing.assert_close(logits, on_images(pixels())["logits"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["head_only", "last_block", "full"])
def test_dropout_of_the_backbone_is_off_in_training(mode: Mode) -> None:
    backbone = small_backbone(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    model = ImageHead(backbone, CLASSES, None, mode).train()

    assert torch.equal(model(pixels())["logits"], model(pixels())["logits"])


def step(model: Head, batch: dict[str, Tensor]) -> None:
    """One step of plain gradient descent."""
    model.train()
    loss = model(**batch, labels=torch.arange(5) % CLASSES)["loss"]
    trained = [value for value in model.parameters() if value.requires_grad]
    for value, gradient in zip(trained, torch.autograd.grad(loss, trained, allow_unused=True), strict=True):
        if gradient is not None:
            value.data -= 0.1 * gradient
