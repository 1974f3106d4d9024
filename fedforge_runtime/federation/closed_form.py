"""The strategy `closed_form`: one exchange of feature moments and one solution, exact for any partition.

Source: Fanì et al., Accelerating Heterogeneous Federated Learning with Closed-form Classifiers (Fed3R), ICML 2024.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedforge_runtime.federation import messages
from fedforge_runtime.learning.sums import (
    DEFAULT_REGULARISATION,
    DEFAULT_TEMPERATURE,
    FeatureMoments,
    check_factors,
)


class ClosedForm(FedAvg):
    """The ridge head of all clients' rows; evaluation is FedAvg's.

    Args:
        regularisation, temperature: see `FeatureMoments.solve`.
        arguments: those of `FedAvg`.

    Raises:
        ValueError: a factor is not above 0.
    """

    def __init__(
        self,
        *,
        regularisation: float = DEFAULT_REGULARISATION,
        temperature: float = DEFAULT_TEMPERATURE,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        check_factors(regularisation, temperature)
        self.regularisation = regularisation
        self.temperature = temperature

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every node that is shown for its moments; the factors go along for its own head."""
        config[messages.ROUND] = server_round
        config.update(messages.factors_record(self.regularisation, self.temperature))
        content = RecordDict({messages.ARRAYS: arrays, messages.CONFIG: config})
        return [Message(content, node, messages.CLOSED_FORM_ACTION) for node in grid.get_node_ids()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add up the moments in the order of `replies` and solve once."""
        shares = [messages.read_moments(reply.content, messages.ARRAYS) for reply in replies]
        return messages.to_arrays(FeatureMoments.total(shares).solve(self.regularisation, self.temperature)), None

    def expected_update(self, sent: ArrayRecord) -> ArrayRecord:
        """Zeros in the shapes of the moments that the model which was sent calls for."""
        classes, feature_size = sent["classifier.weight"].numpy().shape
        return messages.moments_template(feature_size, classes)
