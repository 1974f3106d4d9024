"""The clients of a run: how the model serves each of them, the worst served, and the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedforge_runtime.record.summary import ClientSummary as Client
from fedforge_runtime.reporting.charts import bar_chart, histogram
from fedforge_runtime.reporting.exhibits import ABSENT, Figure, Table, metric, score
from fedforge_runtime.wording import count, duration, size

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
        worst=_sentence(worst) if worst else "",
        chart=_chart(clients),
        table=_table(clients, worst),
        spread=_spread(clients),
    )


def worst_client(clients: Sequence[Client]) -> Client | None:
    """On whose validation rows the federated model is least accurate; among equals the one of most rows."""
    answered = [client for client in clients if "accuracy" in client["global_metrics"]]
    if not answered:
        return None
    return min(answered, key=lambda client: (client["global_metrics"]["accuracy"], -client["validation_rows"]))


def _sentence(client: Client) -> str:
    return (
        f"Worst client: client {client['client']}, where the federated model's accuracy is "
        f"{score(client['global_metrics']['accuracy'])} on {count(client['validation_rows'])} validation rows."
    )


def _chart(clients: Sequence[Client]) -> Figure | None:
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


def _table(clients: Sequence[Client], worst: Client | None) -> Table:
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
    own = [(client["local_metrics"], client["client"]) for client in clients]
    federated = [(client["global_metrics"], client["client"]) for client in clients]
    for model, scores in (("own model", own), ("federated model", federated)):
        for name in ("accuracy", "balanced_accuracy", "loss"):
            held = [(metrics[name], client) for metrics, client in scores if name in metrics]
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
