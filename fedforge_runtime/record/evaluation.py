"""What the server has a worker do, since it needs torch: evaluation on central splits, tensors of the backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedforge_runtime.config import LearningConfig, Mode
from fedforge_runtime.data.sources.datasets import Split
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.predictions import Predictions
from fedforge_runtime.learning.sums import Standardisation
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.sites.settings import RunSettings

if TYPE_CHECKING:
    from fedforge_runtime.learning.model import Head
    from fedforge_runtime.learning.rows import Rows


def evaluate_split(
    settings: RunSettings,
    round_number: int,
    parameters: Parameters,
    standardisation: Standardisation | None,
    split: Split,
) -> dict[str, float]:
    """The metrics on all rows of `split` of the global model after a round."""
    from fedforge_runtime.learning.training import evaluate_model

    return evaluate_model(*_central(settings, round_number, parameters, standardisation, split))


def predict_split(
    settings: RunSettings,
    round_number: int,
    parameters: Parameters,
    standardisation: Standardisation | None,
    split: Split,
) -> tuple[Predictions, dict[str, float]]:
    """The answers on all rows of `split` of the global model after a round, and its metrics from the same pass."""
    from fedforge_runtime.learning.training import predict_model

    return predict_model(*_central(settings, round_number, parameters, standardisation, split))


def initial_backbone_in_worker(inputs: RunInputs, mode: Mode) -> Parameters:
    """What a mode trains beside the head, as the backbone has it, by name."""
    from fedforge_runtime.sites.site import initial_backbone

    return initial_backbone(inputs, mode)


def _central(
    settings: RunSettings,
    round_number: int,
    parameters: Parameters,
    standardisation: Standardisation | None,
    split: Split,
) -> tuple[Head, Rows, LearningConfig]:
    """The global model after a round, the rows of a split, and how one is run over the other."""
    from fedforge_runtime.sites.site import build_model, open_split

    learning = settings.config.learning.model_copy(update={"device": "cpu"})  # the clients' device is the clients'
    mode = learning.mode_in(round_number)
    model = build_model(settings.inputs, mode, standardisation, parameters)
    return model, open_split(settings.inputs, split, mode), learning
