"""The server's evaluation on a central split; runs in a worker, since it needs torch."""

from __future__ import annotations

from fedforge_runtime.data.sources import Split
from fedforge_runtime.federation.settings import RunSettings
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.standardisation import Standardisation


def evaluate_split(
    settings: RunSettings, parameters: Parameters, standardisation: Standardisation | None, split: Split
) -> dict[str, float]:
    """The metrics of a global model on all rows of `split`."""
    from fedforge_runtime.federation.site import build_model, open_split
    from fedforge_runtime.learning.training import evaluate_model

    model = build_model(settings.inputs, standardisation)
    model.load_trainable(parameters)
    return evaluate_model(model, open_split(settings.inputs, split), settings.config.learning)
