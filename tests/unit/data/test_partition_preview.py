"""What is said of a partition before a run: its numbers, its warnings, and how it looks on a terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fedforge_runtime.commands.partition_tables import partitions_json, print_partitions, print_preview
from fedforge_runtime.config import PartitionConfig
from fedforge_runtime.config.files import load_preset, preset_names
from fedforge_runtime.data.partition import PARTITIONERS, parse_partition
from fedforge_runtime.data.partition.preview import PartitionPreview, preview_partition

CLASS_NAMES = ("basophil", "eosinophil", "immature granulocytes(myelocytes and others)", "platelet")


def labels_of(*counts: int) -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


def preview(text: str, labels: np.ndarray, *, clients: int = 4, minimum_rows: int = 2) -> PartitionPreview:
    name, parameters = parse_partition(text)
    config = PartitionConfig(name=name, parameters=parameters, clients=clients, minimum_rows=minimum_rows)
    return preview_partition(labels, config, seed=17, class_names=CLASS_NAMES)[0]


def drawn(shown: PartitionPreview, width: int) -> list[str]:
    output = io.StringIO()
    print_preview(shown, "some data", console=Console(file=output, width=width))
    return output.getvalue().splitlines()


def test_nothing_is_warned_of_where_every_site_has_enough_of_everything() -> None:
    assert preview("iid", labels_of(400, 400, 400, 400)).warnings == ()


def test_sites_that_lack_a_class_are_named_with_the_class() -> None:
    shown = preview("iid", labels_of(400, 400, 400, 2))
    [warning] = shown.warnings
    lacking = [str(site.client) for site in shown.skew.sites if not site.class_rows[3]]
    assert f"platelet (sites {', '.join(lacking)})" in warning
    assert f"{len(lacking)} of 4 sites lack a class" in warning


def test_a_class_that_a_single_site_holds_is_warned_of() -> None:
    warnings = preview("iid", labels_of(400, 400, 1, 400)).warnings
    assert any(warning.startswith("Only site") and "immature granulocytes:" in warning for warning in warnings)


def test_few_rows_are_warned_of_with_the_rows_of_the_site_s_own_evaluation() -> None:
    warnings = preview("size:30,300,300,300", labels_of(300, 300, 300, 30)).warnings
    assert "1 of 4 sites has fewer than 50 rows: site 0 (30 rows, 3 for its own evaluation)." in warnings


def test_rows_that_were_moved_to_fill_sites_up_are_told() -> None:
    config = PartitionConfig(name="hospital-skew", clients=20, minimum_rows=14)
    shown, partition = preview_partition(labels_of(100, 100, 60, 30), config, seed=17, class_names=CLASS_NAMES)
    assert partition.filled_up_rows
    assert any(f"{partition.filled_up_rows} rows were moved" in warning for warning in shown.warnings)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_shows_every_number_and_fits_the_terminal(width: int) -> None:
    shown = preview("hospital-skew", labels_of(500, 400, 300, 100))
    lines = drawn(shown, width)
    assert max(map(len, lines)) <= width
    for site in shown.skew.sites:
        cells = next(line for line in lines if line.split()[:2] == [str(site.client), f"{site.rows:,}"]).split()
        numbers = [cell for cell in cells if cell.isdigit() or cell == "–"]
        assert numbers[-4:] == [str(rows) if rows else "–" for rows in site.class_rows]
        assert f"{site.distance:.2f}" in cells
    assert any("site 0: university hospital" in line for line in lines)
    assert any("2 immature granulocytes" in line for line in lines)


def test_story_scanners_and_warnings_are_drawn() -> None:
    text = " ".join(" ".join(drawn(preview("hospital-skew", labels_of(500, 400, 300, 1)), 120)).split())
    assert "University hospitals and district hospitals" in text
    assert "A few university hospitals see half of all patients" in text
    assert "haematoxylin" in text
    assert "before you run" in text
    assert "Only site" in text


def test_a_partitioner_is_shown_with_its_argument_and_what_it_does() -> None:
    shown = preview("dirichlet:0.5", labels_of(500, 400, 300, 100))
    assert shown.argument == "dirichlet:0.5"
    assert drawn(shown, 120)[1].startswith("dirichlet:0.5: each class is shared out")
    assert preview("size:325,325,325,325", labels_of(500, 400, 300, 100)).argument == "size:325,325,325,325"


def test_the_object_of_a_preview_holds_everything_that_is_drawn() -> None:
    shown = preview("hospital-skew", labels_of(500, 400, 300, 100))
    document: dict[str, Any] = json.loads(json.dumps(shown.to_json()))
    assert (document["name"], document["clients"], document["seed"]) == ("hospital-skew", 4, 17)
    assert document["groups"][0] == {"name": "university hospital", "first": 0, "last": 0}
    assert [client["class_rows"] for client in document["skew"]["clients"]] == [
        list(site.class_rows) for site in shown.skew.sites
    ]
    assert [scanner["client"] for scanner in document["scanners"]] == [0, 1, 2, 3]
    assert document["story"] == load_preset("hospital-skew").story.strip()


def test_every_partitioner_and_preset_is_listed_with_its_story() -> None:
    output = io.StringIO()
    print_partitions(console=Console(file=output, width=100))
    text = " ".join(output.getvalue().replace("│", " ").split())
    for name in (*PARTITIONERS, *preset_names()):
        assert name in text
    for name in preset_names():
        assert load_preset(name).story[:40] in text
    listed = json.loads(json.dumps(partitions_json()))
    assert [each["name"] for each in listed["partitioners"]] == list(PARTITIONERS)
    assert [each["name"] for each in listed["presets"]] == list(preset_names())
