"""The records that cross the wire: model tensors, standardisation, sums and metrics, never rows.

A sum over a class of which a site has a single row is that row: see the README on what is not protected.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums, Standardisation

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
EVALUATION = "evaluation"
STANDARDISATION = "standardisation"
SUMS = "sums"
EVENTS = "events"
"""Record of what happened at a site during a task, for the run's log; no part of the model's payload."""
MOMENTS = "moments"
ROUND = "server-round"
ROWS = "num-examples"
VALIDATION_ROWS = "validation-rows"
TRAINING_LOSS = "training-loss"
SECONDS = "seconds"
MISFIT = "misfit"
STATISTICS_ACTION = "query.statistics"
MOMENTS_ACTION = "query.moments"
CLOSED_FORM_ACTION = "train.closed_form"
REGULARISATION = "regularisation"
TEMPERATURE = "temperature"
_LINES = "lines"


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
    return None if record is None else Standardisation(mean=record["mean"].numpy(), scale=record["scale"].numpy())


def sums_content(sums: FeatureSums) -> RecordDict:
    """A client's answer to the statistics exchange: a count and two vectors."""
    arrays = ArrayRecord({"total": Array(sums.total), "total_of_squares": Array(sums.total_of_squares)})
    return RecordDict({SUMS: arrays, METRICS: MetricRecord({ROWS: sums.count})})


def sums_template(feature_size: int) -> ArrayRecord:
    """Zeros in the shapes of a client's sums, for what is expected of it."""
    zeros = np.zeros(feature_size)
    return sums_content(FeatureSums(0, zeros, zeros)).array_records[SUMS]


def read_sums(content: RecordDict) -> FeatureSums:
    arrays = content.array_records[SUMS]
    return FeatureSums(
        count=int(content.metric_records[METRICS][ROWS]),  # type: ignore[arg-type]
        total=np.asarray(arrays["total"].numpy(), dtype=np.float64),
        total_of_squares=np.asarray(arrays["total_of_squares"].numpy(), dtype=np.float64),
    )


def moments_arrays(moments: FeatureMoments) -> ArrayRecord:
    """A client's moments: the upper triangle of the symmetric gram matrix, row by row, and the target products."""
    triangle = moments.gram[np.triu_indices(len(moments.gram))]
    return ArrayRecord({"gram": Array(triangle), "targets": Array(moments.targets)})


def moments_template(feature_size: int, class_count: int) -> ArrayRecord:
    """Zeros in the shapes of `moments_arrays`, for what is expected of a client."""
    size = feature_size + 1
    return moments_arrays(FeatureMoments(0, np.zeros((size, size)), np.zeros((size, class_count))))


def moments_content(moments: FeatureMoments) -> RecordDict:
    """A client's answer to the exchange of moments."""
    return RecordDict({MOMENTS: moments_arrays(moments), METRICS: MetricRecord({ROWS: moments.count})})


def read_moments(content: RecordDict, record: str) -> FeatureMoments:
    """The moments in the array record of that name, and the count of rows beside it."""
    arrays = content.array_records[record]
    targets = np.asarray(arrays["targets"].numpy(), dtype=np.float64)
    gram = np.zeros((len(targets), len(targets)))
    upper = np.triu_indices(len(gram))
    gram[upper] = arrays["gram"].numpy()
    gram.T[upper] = gram[upper]
    return FeatureMoments(int(content.metric_records[METRICS][ROWS]), gram, targets)  # type: ignore[arg-type]


def factors_record(regularisation: float, temperature: float) -> dict[str, float]:
    """What a client needs to solve for a head of its own, as entries of the record `config`."""
    return {REGULARISATION: float(regularisation), TEMPERATURE: float(temperature)}


def read_factors(content: RecordDict) -> tuple[float, float]:
    """Regularisation and temperature."""
    config = content.config_records[CONFIG]
    return float(config[REGULARISATION]), float(config[TEMPERATURE])  # type: ignore[arg-type]


def events_record(lines: bytes) -> ConfigRecord:
    """A site's events, one JSON object a line."""
    return ConfigRecord({_LINES: lines})


def take_events(content: RecordDict) -> object | None:
    """Take a site's events out of its answer: whatever stands in their place; `None` where nothing does."""
    if EVENTS not in content:
        return None
    record = content.pop(EVENTS)
    return record.get(_LINES) if isinstance(record, ConfigRecord) else record


def evaluation_record(metrics: Mapping[str, float]) -> ConfigRecord:
    """Metrics by name. A config record, since clients may lack some (AUC with one class) and Flower's strategies
    demand the same metric keys of everybody."""
    return ConfigRecord({name: float(value) for name, value in metrics.items()})


def read_evaluation(content: RecordDict) -> dict[str, float]:
    record = content.config_records.get(EVALUATION)
    return {name: float(value) for name, value in record.items()} if record else {}  # type: ignore[arg-type]
