"""What is known of a round: the rows of rounds.jsonl, rounds.csv and clients.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field

from fedforge_runtime.config import Mode
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.storage.artifacts import csv_text, write_atomically
from fedforge_runtime.storage.home import RunFolder


class ClientRecord(BaseModel, extra="forbid", frozen=True):
    """One client in one round."""

    client: int
    rows: int
    """Training rows."""
    validation_rows: int
    training_loss: float
    seconds: float
    """Of local training, on the client's clock."""
    round_trip_seconds: float
    bytes_sent: int
    """Server to client, training and evaluation."""
    bytes_received: int
    local_metrics: dict[str, float]
    """Of the client's own model, before aggregation, on its validation rows."""
    global_metrics: dict[str, float]
    """Of the aggregated model on the same rows; empty when the client did not answer."""


class RoundRecord(BaseModel, extra="forbid", frozen=True):
    """One round."""

    round: int
    mode: Mode = "head_only"
    """What was trained."""
    model_sha256: str
    participants: list[int]
    """Clients whose updates were aggregated, ascending."""
    failures: dict[int, str] = Field(default_factory=dict)
    """Chosen clients that gave no usable answer: `train: …` or `evaluate: …`."""
    seconds: float
    bytes_sent: int
    bytes_received: int
    training_loss: float
    """Mean over clients, weighted by rows."""
    validation_metrics: dict[str, float]
    """Of the aggregated model on the central validation split."""
    clients: list[ClientRecord]


def write_tables(folder: RunFolder, records: Sequence[RoundRecord]) -> None:
    """Write `rounds.jsonl`, `rounds.csv` and `clients.csv` from scratch, each atomically."""
    write_atomically(folder.rounds, "".join(record.model_dump_json() + "\n" for record in records).encode())
    for file, rows in ((folder.rounds_table, round_rows(records)), (folder.clients_table, client_rows(records))):
        write_atomically(file, csv_text([*rows[:1], *(row.values() for row in rows)]).encode())


def read_records(folder: RunFolder) -> list[RoundRecord]:
    """The rounds that a run has completed, oldest first; those of damaged lines are left out."""
    return scan_records(folder)[0]


def scan_records(folder: RunFolder) -> tuple[list[RoundRecord], list[int]]:
    """`read_records`, and the numbers of the damaged lines, from 1."""
    records: list[RoundRecord] = []
    damaged: list[int] = []
    if folder.rounds.exists():
        for number, line in enumerate(folder.rounds.read_bytes().splitlines(), start=1):
            try:
                records.append(RoundRecord.model_validate_json(line))
            except ValueError:
                damaged.append(number)
    return records, damaged


def round_rows(records: Iterable[RoundRecord]) -> list[dict[str, object]]:
    """The rows of `rounds.csv`: seconds and bytes; a metric that a round does not have is an empty text."""
    return [
        {
            "round": record.round,
            "mode": record.mode,
            "clients": len(record.participants),
            "failures": len(record.failures),
            "training_loss": record.training_loss,
            **{f"validation_{name}": record.validation_metrics.get(name, "") for name in METRIC_NAMES},
            "seconds": record.seconds,
            "bytes_sent": record.bytes_sent,
            "bytes_received": record.bytes_received,
            "model_sha256": record.model_sha256,
        }
        for record in records
    ]


def client_rows(records: Iterable[RoundRecord]) -> list[dict[str, object]]:
    """The rows of `clients.csv`, one for each client whose update a round has used; as `round_rows`."""
    return [
        {
            "round": record.round,
            "client": client.client,
            "rows": client.rows,
            "validation_rows": client.validation_rows,
            "training_loss": client.training_loss,
            **{f"local_{name}": client.local_metrics.get(name, "") for name in METRIC_NAMES},
            **{f"global_{name}": client.global_metrics.get(name, "") for name in METRIC_NAMES},
            "seconds": client.seconds,
            "round_trip_seconds": client.round_trip_seconds,
            "bytes_sent": client.bytes_sent,
            "bytes_received": client.bytes_received,
        }
        for record in records
        for client in record.clients
    ]
