"""The parts of a run's report say what the records say."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.reporting.page import metric, score
from fedforge_runtime.reporting.partition_page import partition_section
from fedforge_runtime.reporting.run_training import clients_section, spread_over_clients, worst_client


def _client(number: int, accuracy: float | None, validation_rows: int = 10) -> dict[str, Any]:
    shared = {} if accuracy is None else {"accuracy": accuracy, "balanced_accuracy": accuracy, "loss": 1 - accuracy}
    return {
        "client": number, "rows": 100, "validation_rows": validation_rows, "rounds": 2, "last_round": 2,
        "training_loss": 0.5, "seconds": 1.0, "bytes_sent": 10, "bytes_received": 20,
        "local_metrics": {"accuracy": 0.9, "balanced_accuracy": 0.9, "loss": 0.1}, "global_metrics": shared,
    }  # fmt: skip


def test_the_worst_client_is_named_with_its_number_of_rows() -> None:
    section = clients_section([_client(0, 0.8), _client(1, 0.25, 4), _client(2, None)])
    assert section.worst.startswith("Worst client: client 1,")
    assert "0.2500 on 4 validation rows" in section.worst
    assert [row[0] for row in section.table.rows] == ["0", "1\u00a0(worst)", "2"]
    assert section.table.marked == [1]


def test_among_equally_bad_clients_the_one_of_most_rows_is_worst() -> None:
    worst = worst_client([_client(0, 0.5, 3), _client(1, 0.5, 30), _client(2, 0.9)])
    assert worst is not None
    assert worst["client"] == 1


def test_where_no_client_answered_none_is_worst() -> None:
    section = clients_section([_client(0, None)])
    assert section.worst == ""
    assert section.table.marked == []


def test_the_spread_counts_each_client_once_and_names_the_worst_of_each_score() -> None:
    values = [0.2, 0.6, 0.7]
    section = clients_section([_client(number, value) for number, value in enumerate(values)])
    rows = {row[0]: row[1:] for row in section.spread.rows}
    accuracy = [min(values), np.mean(values), max(values), np.std(values), np.ptp(values)]
    assert rows["federated model, accuracy"] == [*(f"{value:.4f}" for value in accuracy), "client 0"]
    assert rows["federated model, loss"][-1] == "client 0"


def test_more_clients_than_bars_are_counted() -> None:
    section = clients_section([_client(number, number / 40) for number in range(40)])
    assert section.chart is not None
    assert "Histogram" in section.chart.chart
    assert len(section.table.rows) == 40


@given(st.dictionaries(st.text(max_size=3), st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=9))
def test_the_spread_over_clients_is_ordered_and_holds_every_round(values: dict[str, list[float]]) -> None:
    by_client = {name: [(1.0, first), (2.0, second)] for name, (first, second) in values.items()}
    spread = spread_over_clients(by_client)
    columns = [[value for _, value in points] for points in spread.values()]
    assert all([number for number, _ in points] == [1.0, 2.0] for points in spread.values())
    for above, below in itertools.pairwise(columns):
        assert all(high >= low for high, low in zip(above, below, strict=True))
    assert columns[0] == [max(each[index] for each in values.values()) for index in (0, 1)]
    assert columns[-1] == [min(each[index] for each in values.values()) for index in (0, 1)]


def test_the_partition_section_measures_its_skew_and_names_missing_classes() -> None:
    section = partition_section(np.array([[10, 0], [0, 30]]), ["a", "b"], scanners=["no shift", "darker by 9 levels"])
    assert section.facts["smallest client"] == "client 0, 10 rows"
    assert section.facts["clients that lack a class"] == "2"
    assert section.clients.rows[0][-3:] == ["a (100%)", "b", "no shift"]
    assert section.clients.headings[-1] == "scanner"


def test_of_many_clients_the_first_are_drawn_and_all_are_listed() -> None:
    section = partition_section(np.ones((80, 2), int), ["a", "b"])
    assert "the first 50 of 80 clients" in section.figures[0].caption
    assert len(section.clients.rows) == 80
    assert "scanner" not in section.clients.headings


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (score(None), "–"),
        (score(0.12345), "0.1235"),
        (metric("macro_f1"), "macro F1"),
        (metric("balanced_accuracy"), "balanced accuracy"),
    ],
)
def test_scores_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
