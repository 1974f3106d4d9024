"""The federated model stands between each client alone and all rows in one place."""

from __future__ import annotations

from typing import Any

import pytest

from fedforge_runtime.record.comparison import FEDERATED, compare_with_bounds


def _scores(accuracy: float) -> dict[str, dict[str, float]]:
    return {"validation": {"accuracy": accuracy / 2}, "test": {"accuracy": accuracy, "loss": 1 - accuracy}}


BOUNDS: dict[str, Any] = {
    "centralized": _scores(0.9),
    "closed_form": _scores(0.85),
    "local": [
        {"client": client, "rows": 100 + client, **_scores(value)} for client, value in enumerate((0.4, 0.2, 0.6))
    ],
}


def test_worst_mean_and_best_client_come_before_the_federated_model_and_what_pools_all_rows() -> None:
    compared = compare_with_bounds({"accuracy": 0.4}, {"accuracy": 0.8}, BOUNDS)
    assert [(model.name, model.rows) for model in compared] == [
        ("worst alone: client 1", 101),
        ("mean of clients alone", 101),
        ("best alone: client 2", 102),
        (FEDERATED, 303),
        ("closed form", 303),
        ("all rows in one place", 303),
    ]
    assert [model.test["accuracy"] for model in compared] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.85, 0.9])
    assert [model.validation["accuracy"] for model in compared] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.425, 0.45])


def test_a_metric_that_one_client_lacks_has_no_mean() -> None:
    local = [dict(each) for each in BOUNDS["local"]]
    local[0]["test"] = {"accuracy": 0.4}
    mean = compare_with_bounds({}, {}, {"local": local})[1]
    assert mean.test == {"accuracy": pytest.approx(0.4)}


def test_a_run_without_scores_and_bounds_that_were_not_computed_are_left_out() -> None:
    assert [model.name for model in compare_with_bounds({}, {}, {"centralized": _scores(0.9)})] == [
        "all rows in one place"
    ]
    (alone,) = compare_with_bounds({}, {"accuracy": 0.8}, {})
    assert (alone.name, alone.rows) == (FEDERATED, None)
