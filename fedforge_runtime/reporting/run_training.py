"""The training of a run: its rounds as curves and a table, and how its model serves each client and the worst."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.record.records import ClientRecord, RoundRecord
from fedforge_runtime.record.summary import ClientSummary as Client
from fedforge_runtime.reporting.charts import bar_chart, histogram, line_chart
from fedforge_runtime.reporting.page import ABSENT, Figure, Table, metric, score
from fedforge_runtime.wording import count, duration, size

Series = Mapping[str, Sequence[tuple[float, float]]]

_MOST_LINES = 10
"""More clients than this are shown by their spread."""


@dataclass(frozen=True)
class RoundsSection:
    """What happened round by round."""

    whole: Sequence[Figure]
    """Of the federated model."""
    clients: Sequence[Figure]
    table: Table
    seconds: Figure
    bytes: Figure


def rounds_section(records: Sequence[RoundRecord]) -> RoundsSection:
    """Curves of at least one round."""
    many = len({client.client for record in records for client in record.clients}) > _MOST_LINES
    who = "clients (their spread)" if many else "each client"
    return RoundsSection(
        whole=[
            Figure(
                _chart({metric(name): _validation(records, name) for name in METRIC_NAMES if name != "loss"}, "score"),
                "The federated model on the central validation split.",
            ),
            Figure(
                _chart(
                    {
                        "validation loss": _validation(records, "loss"),
                        "training loss": [(record.round, record.training_loss) for record in records],
                    },
                    "cross-entropy",
                ),
                "Loss of the federated model on the validation split, and of the clients' models while they train "
                "(mean over clients, weighted by rows).",
            ),
        ],
        clients=[
            Figure(
                _chart(_by_client(records, lambda client: client.local_metrics.get("accuracy")), "accuracy"),
                f"Own model, {who}: after local training, before aggregation, on the client's own validation rows.",
            ),
            Figure(
                _chart(_by_client(records, lambda client: client.global_metrics.get("accuracy")), "accuracy"),
                f"Federated model, {who}: after aggregation, on the same validation rows.",
            ),
            Figure(
                _chart(_by_client(records, lambda client: client.training_loss), "training loss"),
                f"Training loss, {who}: mean over the batches of the round.",
            ),
            Figure(
                _chart(_by_client(records, lambda client: client.seconds), "seconds", from_zero=True),
                f"Seconds of local training, {who}, on the client's clock.",
            ),
        ],
        table=_rounds_table(records),
        seconds=Figure(
            _chart({"round": [(record.round, record.seconds) for record in records]}, "seconds", from_zero=True),
            "Seconds of each round, on the server's clock.",
        ),
        bytes=Figure(
            _chart(
                {
                    "server to clients": [(record.round, record.bytes_sent / 1e6) for record in records],
                    "clients to server": [(record.round, record.bytes_received / 1e6) for record in records],
                },
                "megabytes",
                from_zero=True,
            ),
            "Bytes on the wire in each round, training and evaluation, all clients together.",
        ),
    )


def spread_over_clients(by_client: Series) -> Series:
    """Lowest, quartiles, median and highest value over clients, for each round that has any."""
    values: dict[float, list[float]] = {}
    for points in by_client.values():
        for number, value in points:
            values.setdefault(number, []).append(value)
    names = {"highest": 100, "upper quartile": 75, "median": 50, "lower quartile": 25, "lowest": 0}
    return {
        name: [(number, float(np.percentile(values[number], percent))) for number in sorted(values)]
        for name, percent in names.items()
    }


def _chart(series: Series, y_label: str, *, from_zero: bool = False) -> Markup:
    return line_chart(series, x_label="round", y_label=y_label, from_zero=from_zero)


def _validation(records: Sequence[RoundRecord], name: str) -> list[tuple[float, float]]:
    return [(record.round, record.validation_metrics[name]) for record in records if name in record.validation_metrics]


def _by_client(records: Sequence[RoundRecord], value: Callable[[ClientRecord], float | None]) -> Series:
    series: dict[int, list[tuple[float, float]]] = {}
    for record in records:
        for client in record.clients:
            if (found := value(client)) is not None:
                series.setdefault(client.client, []).append((record.round, found))
    by_client = {f"client {number}": series[number] for number in sorted(series)}
    return spread_over_clients(by_client) if len(by_client) > _MOST_LINES else by_client


def _rounds_table(records: Sequence[RoundRecord]) -> Table:
    metrics = [name for name in METRIC_NAMES if any(name in record.validation_metrics for record in records)]
    rows = [
        [
            str(record.round),
            record.mode.replace("_", " "),
            str(len(record.participants)),
            str(len(record.failures)) if record.failures else ABSENT,
            *(score(record.validation_metrics.get(name)) for name in metrics),
            score(record.training_loss),
            duration(record.seconds),
            size(record.bytes_sent),
            size(record.bytes_received),
            record.model_sha256[:12],
        ]
        for record in records
    ]
    headings = [
        *("round", "trained", "clients", "failed"),
        *map(metric, metrics),
        *("training loss", "seconds", "sent", "received", "model SHA-256"),
    ]
    caption = f"{count(len(records))} rounds; scores on the validation split"
    return Table(headings, rows, [0, *range(2, len(headings) - 1)], caption=caption)


_MOST_BARS = 25


@dataclass(frozen=True)
class ClientsSection:
    """The clients, as each was when it last took part."""

    worst: str
    """Which client the federated model serves worst, in a sentence; empty when no client answered."""
    chart: Figure | None
    table: Table
    spread: Table


def clients_section(clients: Sequence[Client]) -> ClientsSection:
    """Tables over all clients that took part; scores are those of their last round, on their own validation rows."""
    worst = worst_client(clients)
    return ClientsSection(
        worst=(
            f"Worst client: client {worst['client']}, where the federated model's accuracy is "
            f"{score(worst['global_metrics']['accuracy'])} on {count(worst['validation_rows'])} validation rows."
            if worst
            else ""
        ),
        chart=_accuracies(clients),
        table=_clients_table(clients, worst),
        spread=_spread(clients),
    )


def worst_client(clients: Sequence[Client]) -> Client | None:
    """On whose validation rows the federated model is least accurate; among equals the one of most rows."""
    answered = [client for client in clients if "accuracy" in client["global_metrics"]]
    if not answered:
        return None
    return min(answered, key=lambda client: (client["global_metrics"]["accuracy"], -client["validation_rows"]))


def _accuracies(clients: Sequence[Client]) -> Figure | None:
    own = [client["local_metrics"].get("accuracy", np.nan) for client in clients]
    shared = [client["global_metrics"].get("accuracy", np.nan) for client in clients]
    if not np.isfinite([*own, *shared]).any():
        return None
    named = {"own model": own, "federated model": shared}
    caption = "Accuracy on each client's own validation rows, in the last round in which it took part."
    if len(clients) <= _MOST_BARS:
        return Figure(bar_chart([str(client["client"]) for client in clients], named, y_label="accuracy"), caption)
    finite = {name: [value for value in values if np.isfinite(value)] for name, values in named.items()}
    return Figure(histogram(finite, bins=20, x_label="accuracy", y_label="clients"), caption)


def _clients_table(clients: Sequence[Client], worst: Client | None) -> Table:
    headings = [
        *("client", "training rows", "validation rows", "rounds", "last round"),
        *("own model: accuracy", "balanced", "federated: accuracy", "balanced", "loss"),
        *("training loss", "seconds", "sent", "received"),
    ]
    rows = []
    for client in clients:
        own, shared = client["local_metrics"], client["global_metrics"]
        rows.append(
            [
                str(client["client"]) + ("\u00a0(worst)" if client is worst else ""),
                count(client["rows"]),
                count(client["validation_rows"]),
                str(client["rounds"]),
                str(client["last_round"]),
                score(own.get("accuracy")),
                score(own.get("balanced_accuracy")),
                score(shared.get("accuracy")),
                score(shared.get("balanced_accuracy")),
                score(shared.get("loss")),
                score(client["training_loss"]),
                duration(client["seconds"]),
                size(client["bytes_sent"]),
                size(client["bytes_received"]),
            ]
        )
    marked = [number for number, client in enumerate(clients) if client is worst]
    return Table(headings, rows, range(1, len(headings)), marked)


def _spread(clients: Sequence[Client]) -> Table:
    """Each client counts once, however many rows it has."""
    rows = []
    models = {
        "own model": [(client["local_metrics"], client["client"]) for client in clients],
        "federated model": [(client["global_metrics"], client["client"]) for client in clients],
    }
    for model, scores in models.items():
        for name in ("accuracy", "balanced_accuracy", "loss"):
            held = [(found[name], client) for found, client in scores if name in found]
            if not held:
                continue
            values = np.array([value for value, _ in held])
            lowest, highest = min(held), max(held)
            rows.append(
                [
                    f"{model}, {metric(name)}",
                    *map(score, (values.min(), values.mean(), values.max(), values.std(), np.ptp(values))),
                    f"client {(highest if name == 'loss' else lowest)[1]}",
                ]
            )
    headings = ["over clients", "lowest", "mean", "highest", "standard deviation", "range", "worst client"]
    return Table(headings, rows or [[ABSENT] * len(headings)], range(1, 6))
