"""The classifier that a federation trains, on cached features or behind the frozen backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.standardisation import Standardisation


class FeatureHead(nn.Module):
    """A linear classifier on standardised features.

    Args:
        feature_size: length of a feature vector.
        class_count: number of classes.
        standardisation: per-dimension mean and scale; `None` leaves features as they are.

    The names of its parameters, `classifier.weight` (classes, features) and `classifier.bias` (classes,), are
    those of `transformers.ViTForImageClassification`.
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

    def forward(self, features: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
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
        pairs = zip(self._trainable().values(), self._global_parameters, strict=True)
        return torch.stack([(value - start).square().sum() for value, start in pairs]).sum()

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

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


class ImageHead(FeatureHead):
    """The same head behind the frozen backbone: the un-cached reference path.

    The feature is the class token after the final layer norm, which is what `ViTForImageClassification` feeds
    to its classifier.
    """

    def __init__(self, backbone: Any, class_count: int, standardisation: Standardisation | None) -> None:
        super().__init__(backbone.config.hidden_size, class_count, standardisation)
        self.backbone = backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ImageHead:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """As `FeatureHead.forward`, from pixels (rows, 3, height, width)."""
        with torch.no_grad():
            features = class_token(self.backbone, pixel_values)
        return super().forward(features, labels)


def class_token(backbone: Any, pixel_values: Tensor) -> Tensor:
    """Features (rows, hidden_size): `last_hidden_state[:, 0]`, after the final layer norm."""
    hidden: Tensor = backbone(pixel_values=pixel_values).last_hidden_state
    return hidden[:, 0]


def load_backbone_model(folder: Path) -> Any:
    """The `ViTModel` of a backbone folder, in fp32, without a pooler, ready for inference."""
    from transformers import ViTModel

    model = ViTModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
    return model.eval().requires_grad_(False)
