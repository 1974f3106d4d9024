"""The classifier that a federation trains: on cached features, on cached tokens, or behind the whole backbone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from fedforge_runtime.config import Mode
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.sums import Standardisation


class Head(nn.Module):
    """A linear classifier on standardised features, and what the three models have in common.

    Args:
        feature_size: length of a feature vector.
        class_count: number of classes.
        standardisation: per-dimension mean and scale; `None` leaves features as they are.

    Every parameter has the name that it has in `transformers.ViTForImageClassification`: `classifier.weight`
    (classes, features), `classifier.bias` (classes,), and `vit.…` for what else is trained.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, feature_size: int, class_count: int, standardisation: Standardisation | None) -> None:
        super().__init__()
        self.classifier = nn.Linear(feature_size, class_count)
        mean = standardisation.mean if standardisation else [0.0] * feature_size
        scale = standardisation.scale if standardisation else [1.0] * feature_size
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32), persistent=False)
        self._proximal_mu = 0.0
        self._global_parameters: list[Tensor] = []

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if vit := self._modules.get("vit"):
            vit.eval()  # no dropout, as everywhere: the same bits with and without the cache of what lies below
        return self

    def classify(self, features: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Logits (rows, classes) of features (rows, feature_size), and the mean loss when labels are given."""
        logits = self.classifier((features - self.mean) / self.scale)
        if labels is None:
            return {"logits": logits}
        loss = nn.functional.cross_entropy(logits, labels)
        if self.training and self._proximal_mu > 0:
            loss = loss + self._proximal_mu / 2 * self._distance_to_global()
        return {"loss": loss, "logits": logits}

    def pull_towards_present(self, proximal_mu: float) -> None:
        """Add FedProx's term to the training loss: mu/2 times the squared distance to the present weights.

        Source: Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020, eq. 2.
        """
        self._proximal_mu = proximal_mu
        self._global_parameters = [value.detach().clone() for value in self._trainable().values()]

    def _distance_to_global(self) -> Tensor:
        own = list(self._trainable().values())
        starts = [start.to(value.device) for value, start in zip(own, self._global_parameters, strict=True)]
        self._global_parameters = starts  # Trainer has moved the model since
        return torch.stack([(value - start).square().sum() for value, start in zip(own, starts, strict=True)]).sum()

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def trainable_names(self) -> list[str]:
        return list(self._trainable())

    def load_trainable(self, parameters: Parameters) -> None:
        """Copy arrays into the trainable tensors; names and shapes must match exactly."""
        own = self._trainable()
        if own.keys() != parameters.keys():
            raise ValueError(f"expected the tensors {sorted(own)}, got {sorted(parameters)}")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(torch.from_numpy(parameters[name].copy()))

    def trainable(self) -> Parameters:
        """Copies of the trainable tensors by name, float32."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self._trainable().items()}


class FeatureHead(Head):
    """The head alone, on cached features: the mode `head_only`."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """See `classify`."""
        return self.classify(features, labels)


class LastBlock(nn.Module):
    """The last block and the final norm of a `ViTModel`, which keep the names that they have in it."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self._last = str(len(backbone.layers) - 1)
        self.layers = nn.ModuleDict({self._last: backbone.layers[int(self._last)]})
        self.layernorm: nn.LayerNorm = backbone.layernorm

    def forward(self, tokens: Tensor) -> Tensor:
        """Features (rows, hidden_size) of tokens (rows, tokens, hidden_size)."""
        return class_token_after_block(self.layers[self._last], self.layernorm, tokens)


class TokenHead(Head):
    """The last block, the final norm and the head, on the cached tokens that enter the block: `last_block`.

    Args:
        backbone: a `ViTModel`; its last layer and final norm are trained, copies of nothing.
    """

    def __init__(self, backbone: Any, class_count: int, standardisation: Standardisation | None) -> None:
        super().__init__(backbone.config.hidden_size, class_count, standardisation)
        self.vit = LastBlock(backbone).requires_grad_(True)

    def forward(self, tokens: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """As `classify`, from tokens (rows, tokens, hidden_size)."""
        return self.classify(self.vit(tokens), labels)


class ImageHead(Head):
    """The head behind the whole backbone: the un-cached path, and the only one for the mode `full`."""

    def __init__(
        self, backbone: Any, class_count: int, standardisation: Standardisation | None, mode: Mode = "head_only"
    ) -> None:
        super().__init__(backbone.config.hidden_size, class_count, standardisation)
        self.vit = backbone.eval()
        for name, value in backbone.named_parameters():
            value.requires_grad_(is_trained(name, mode, len(backbone.layers)))

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """As `classify`, from pixels (rows, 3, height, width)."""
        return self.classify(class_token(self.vit, pixel_values), labels)


def is_trunk(name: str, layers: int) -> bool:
    """Whether a parameter of a `ViTModel` of so many layers lies below its last block."""
    return not name.startswith((f"layers.{layers - 1}.", "layernorm."))


def is_trained(name: str, mode: Mode, layers: int) -> bool:
    """Whether a mode trains a parameter of a `ViTModel` of so many layers."""
    return mode == "full" or (mode == "last_block" and not is_trunk(name, layers))


def class_token(backbone: Any, pixel_values: Tensor) -> Tensor:
    """Features (rows, hidden_size): `last_hidden_state[:, 0]`, after the final layer norm.

    It is what `ViTForImageClassification` feeds to its classifier.
    """
    hidden: Tensor = backbone(pixel_values=pixel_values).last_hidden_state
    return hidden[:, 0]


def tokens_before_last_block(backbone: Any, pixel_values: Tensor) -> Tensor:
    """What enters the last encoder block: (rows, tokens, hidden_size)."""
    entering: list[Tensor] = []
    last = backbone.layers[len(backbone.layers) - 1]
    hook = last.register_forward_pre_hook(lambda _, arguments: entering.append(arguments[0]))
    try:
        backbone(pixel_values=pixel_values)
    finally:
        hook.remove()
    return entering[0]


def class_token_through_block(backbone: Any, tokens: Tensor) -> Tensor:
    """`class_token` from `tokens_before_last_block`, operation by operation as the backbone does it: equal bits."""
    hidden: Tensor = backbone.layernorm(backbone.layers[len(backbone.layers) - 1](tokens))
    return hidden[:, 0]


def class_token_after_block(block: Any, final_norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """`class_token_through_block` for training: about a hundredth of the arithmetic, equal up to rounding.

    Only the class token leaves the last block, so only its query, its output and its MLP are needed. Keys and
    values of the other tokens are not computed either: with `K_j = W_k n_j + b_k`, the scores `q·K_j` are
    `(W_kᵀ q)·n_j` plus what is the same for every token and cancels in the softmax (so `b_k` has no gradient);
    and since attention weights sum to one, `Σ a_j (W_v n_j + b_v) = W_v (Σ a_j n_j) + b_v`. The layer norm's
    gain and offset move to the small side of both products, so that nothing of the tokens' size needs a gradient.

    Args:
        block: a `transformers` ViTLayer.
        final_norm: the norm that follows it.
        tokens: (rows, tokens, hidden_size).

    Returns:
        (rows, hidden_size).
    """
    attention, norm = block.attention, block.layernorm_before
    rows, _, size = tokens.shape
    heads, head_size = attention.num_attention_heads, attention.head_dim
    with torch.no_grad():
        normalised = nn.functional.layer_norm(tokens, (size,), eps=norm.eps)
    query = attention.q_proj(normalised[:, 0] * norm.weight + norm.bias).view(rows, heads, head_size)
    key_weight = attention.k_proj.weight.view(heads, head_size, size)
    value_weight = attention.v_proj.weight.view(heads, head_size, size)
    probe = torch.einsum("rhe,hed->rhd", query, key_weight) * norm.weight
    weights = torch.softmax(torch.bmm(probe, normalised.transpose(1, 2)) * attention.scaling, dim=-1)
    mixed = torch.bmm(weights, normalised) * norm.weight + norm.bias
    value = torch.einsum("rhd,hed->rhe", mixed, value_weight).reshape(rows, heads * head_size)
    if attention.v_proj.bias is not None:
        value = value + attention.v_proj.bias
    hidden = tokens[:, 0] + attention.o_proj(value)
    hidden = hidden + block.mlp(block.layernorm_after(hidden))
    result: Tensor = final_norm(hidden)
    return result


@lru_cache(maxsize=1)
def open_backbone(folder: Path) -> Any:
    """The frozen `ViTModel` of a backbone folder, the same object for everybody in this process."""
    return load_backbone_model(folder)


def load_backbone_model(folder: Path) -> Any:
    """The `ViTModel` of a backbone folder, in fp32, without a pooler, ready for inference."""
    from transformers import ViTModel

    return ViTModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval().requires_grad_(False)
