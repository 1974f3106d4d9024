"""Tables of rounds and clients: complete, exact and readable by others."""

from __future__ import annotations

import csv
from pathlib import Path

from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.record.records import ClientRecord, RoundRecord, read_records, write_tables
from fedforge_runtime.storage.home import RunFolder

METRICS = {name: index + 1 / 3 for index, name in enumerate(METRIC_NAMES)}


def client(number: int, global_metrics: dict[str, float]) -> ClientRecord:
    return ClientRecord(
        client=number,
        rows=10 * number,
        validation_rows=number,
        training_loss=0.1 * number,
        seconds=0.25,
        round_trip_seconds=0.5,
        bytes_sent=100,
        bytes_received=200,
        local_metrics=METRICS,
        global_metrics=global_metrics,
    )


def record(number: int) -> RoundRecord:
    return RoundRecord(
        round=number,
        model_sha256=f"{number:064x}",
        participants=[1, 2],
        failures={0: 'train: it said, "no";\nand left'},
        seconds=1.5,
        bytes_sent=300,
        bytes_received=400,
        training_loss=1 / 7,
        validation_metrics=METRICS,
        clients=[client(1, METRICS), client(2, {})],
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_records_survive_their_file_exactly(tmp_path: Path) -> None:
    folder, records = RunFolder(tmp_path), [record(1), record(2)]

    write_tables(folder, records)

    assert read_records(folder) == records


def test_a_run_without_rounds_has_no_records(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_records(folder) == []

    write_tables(folder, [])

    assert read_records(folder) == []


def test_the_table_of_rounds_has_a_row_a_round(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_tables(folder, [record(1), record(2)])

    rows = table(folder.rounds_table)

    assert [row["round"] for row in rows] == ["1", "2"]
    assert {row["clients"] for row in rows} == {"2"}
    assert {row["failures"] for row in rows} == {"1"}
    assert float(rows[0]["training_loss"]) == 1 / 7
    assert all(float(rows[0][f"validation_{name}"]) == METRICS[name] for name in METRIC_NAMES)
    assert rows[0]["model_sha256"] == record(1).model_sha256


def test_the_table_of_clients_has_a_row_a_client_and_round_and_leaves_the_unknown_empty(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_tables(folder, [record(1), record(2)])

    rows = table(folder.clients_table)

    assert [(row["round"], row["client"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert all(float(rows[0][f"global_{name}"]) == METRICS[name] for name in METRIC_NAMES)
    assert all(rows[1][f"global_{name}"] == "" for name in METRIC_NAMES)


def test_a_later_write_replaces_the_tables(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_tables(folder, [record(1), record(2)])

    write_tables(folder, [record(1)])

    assert len(read_records(folder)) == len(table(folder.rounds_table)) == 1
    assert len(table(folder.clients_table)) == 2
