"""The records that cross the wire: model tensors, standardisation, sums and metrics, never rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.standardisation import FeatureSums, Standardisation

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
EVALUATION = "evaluation"
STANDARDISATION = "standardisation"
SUMS = "sums"
ROUND = "server-round"
ROWS = "num-examples"
VALIDATION_ROWS = "validation-rows"
TRAINING_LOSS = "training-loss"
SECONDS = "seconds"
PARTITION_ID = "partition-id"
STATISTICS_ACTION = "query.statistics"


def to_arrays(parameters: Parameters) -> ArrayRecord:
    """Tensors in the order of their names: FedAvgM pairs its momentum with them by position, also after a resume."""
    return ArrayRecord({name: Array(value) for name, value in sorted(parameters.items())})


def from_arrays(record: ArrayRecord) -> Parameters:
    return {name: array.numpy() for name, array in record.items()}


def payload_bytes(message: Message) -> int:
    """Bytes of every record of a message, as Flower counts them; 0 for an error."""
    return sum(record.count_bytes() for record in message.content.values()) if message.has_content() else 0


def standardisation_record(standardisation: Standardisation) -> ArrayRecord:
    return ArrayRecord({"mean": Array(standardisation.mean), "scale": Array(standardisation.scale)})


def read_standardisation(content: RecordDict) -> Standardisation | None:
    record = content.array_records.get(STANDARDISATION)
    if record is None:
        return None
    return Standardisation(mean=record["mean"].numpy(), scale=record["scale"].numpy())


def sums_content(sums: FeatureSums) -> RecordDict:
    """A client's answer to the statistics exchange: a count and two vectors."""
    arrays = ArrayRecord({"total": Array(sums.total), "total_of_squares": Array(sums.total_of_squares)})
    return RecordDict({SUMS: arrays, METRICS: MetricRecord({ROWS: sums.count})})


def read_sums(content: RecordDict) -> FeatureSums:
    arrays = content.array_records[SUMS]
    return FeatureSums(
        count=int(content.metric_records[METRICS][ROWS]),  # type: ignore[arg-type]
        total=np.asarray(arrays["total"].numpy(), dtype=np.float64),
        total_of_squares=np.asarray(arrays["total_of_squares"].numpy(), dtype=np.float64),
    )


def evaluation_record(metrics: Mapping[str, float]) -> ConfigRecord:
    """Metrics by name. A config record, since clients may lack some (AUC with one class) and Flower's strategies
    demand the same metric keys of everybody."""
    return ConfigRecord({name: float(value) for name, value in metrics.items()})


def read_evaluation(content: RecordDict) -> dict[str, float]:
    record = content.config_records.get(EVALUATION)
    return {name: float(value) for name, value in record.items()} if record else {}  # type: ignore[arg-type]
