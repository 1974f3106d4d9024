"""A federated model's scores beside what they lie between: each client alone, and all rows in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from typing_extensions import TypedDict

Scores = Mapping[str, float]


class SplitScores(TypedDict):
    """Metrics of a model on the central splits, by name."""

    validation: dict[str, float]
    test: dict[str, float]


class SiteScores(SplitScores):
    """Those of the model of a site alone."""

    client: int
    rows: int
    """For training."""


class Bounds(TypedDict, total=False):
    """What a run's scores lie between: `bounds.json`. A run that has none has an empty one; older ones lack parts."""

    budget_epochs: int
    """For which each of the models was trained."""
    centralized: SplitScores
    """Of all rows in one place."""
    closed_form: SplitScores
    local: list[SiteScores]
    artifact: str
    """The key."""


@dataclass(frozen=True)
class ComparedModel:
    """One line of the comparison."""

    name: str
    rows: float | None
    """Training rows; for the mean over clients, their mean. `None` where the bounds do not tell."""
    validation: Scores
    test: Scores


def compare_with_bounds(validation: Scores, test: Scores, bounds: Bounds) -> list[ComparedModel]:
    """From the worst client alone to all rows in one place; the federated model in between, as `federated`.

    The worst and the best client are those of the lowest and the highest accuracy on the test split; the mean is
    over clients, each counting once.

    Args:
        validation, test: metrics of the federated model, by name; empty where there is none yet.
        bounds: what it lacks is left out.
    """
    local = list(bounds.get("local", ()))
    pooled = float(sum(each["rows"] for each in local)) or None
    compared = []
    if local:
        worst = min(local, key=lambda each: each["test"]["accuracy"])
        best = max(local, key=lambda each: each["test"]["accuracy"])
        compared += [
            _compared(f"worst alone: client {worst['client']}", float(worst["rows"]), worst),
            ComparedModel(
                "mean of clients alone",
                sum(each["rows"] for each in local) / len(local),
                _mean(each["validation"] for each in local),
                _mean(each["test"] for each in local),
            ),
            _compared(f"best alone: client {best['client']}", float(best["rows"]), best),
        ]
    if test or validation:
        compared.append(ComparedModel(FEDERATED, pooled, validation, test))
    if "closed_form" in bounds:
        compared.append(_compared("closed form", pooled, bounds["closed_form"]))
    if "centralized" in bounds:
        compared.append(_compared("all rows in one place", pooled, bounds["centralized"]))
    return compared


FEDERATED = "federated"


def _compared(name: str, rows: float | None, scores: SplitScores) -> ComparedModel:
    return ComparedModel(name, rows, scores.get("validation", {}), scores.get("test", {}))


def _mean(scores: Iterable[Scores]) -> dict[str, float]:
    """Of the metrics that every client has."""
    everyone = list(scores)
    shared = [name for name in everyone[0] if all(name in each for each in everyone)]
    return {name: sum(each[name] for each in everyone) / len(everyone) for name in shared}
