"""An audit finds a planted case of each kind, and nothing of that kind in data that are clean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.config import DatasetConfig
from fedforge_runtime.data.audit.audit import REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN, Allowance, prepare_audit
from fedforge_runtime.data.audit.similarity import search_block
from fedforge_runtime.data.sources.datasets import prepare_dataset
from fedforge_runtime.data.sources.groups import read_groups
from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.reporting.audit_page import audit_page
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, read_json
from fedforge_runtime.storage.home import Home
from tests.support.html_page import HtmlPage

Arrays = dict[str, np.ndarray]
Row = tuple[str, int]
TRAIN = "train_images"
TEST = "test_images"


@pytest.fixture
def arrays(blood_arrays: Arrays) -> Arrays:
    """A small archive in which no image shows what another one does."""
    copies = {name: array.copy() for name, array in blood_arrays.items()}
    random = np.random.default_rng(3)
    for name in (TRAIN, "val_images", TEST):
        coarse = random.integers(40, 200, (len(copies[name]), 7, 7, 3))
        smooth = coarse.repeat(4, axis=1).repeat(4, axis=2)
        copies[name] = (smooth + random.integers(-8, 8, smooth.shape)).astype(np.uint8)
    return copies


@pytest.fixture
def open_data(archive_folder: Callable[..., Path], store: ArtifactStore) -> Callable[[Arrays], Artifact]:
    def open_(arrays: Arrays) -> Artifact:
        config = DatasetConfig(flag="bloodmnist", source=str(archive_folder(**arrays)))
        return prepare_dataset(config, store=store, notify=lambda _: None)

    return open_


@pytest.fixture
def audit(home: Home, store: ArtifactStore) -> Callable[..., dict[str, Any]]:
    """Audit a dataset without features and give the document."""

    def run(dataset: Artifact, **options: Any) -> dict[str, Any]:
        named = {name: options.pop(name) for name in ("findings", "reason", "by") if name in options}
        made = prepare_audit(
            dataset,
            **{"features": None, "groups": None, **options},
            store=store,
            notify=lambda _: None,
            draw_page=audit_page,
            allowance=Allowance(**named),
        )
        document: dict[str, Any] = read_json(made.path / REPORT_JSON)
        return document

    return run


def found(document: Mapping[str, Any]) -> dict[str, list[set[Row]]]:
    """The groups of rows of every finding that is about rows."""
    return {
        finding["id"]: [{(row["split"], row["index"]) for row in group} for group in finding["groups"]]
        for finding in document["findings"]
        if finding["groups"]
    }


def brightened(image: np.ndarray) -> np.ndarray:
    return np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8)


def blank(image: np.ndarray) -> np.ndarray:
    return np.full_like(image, 120)


def saturated(image: np.ndarray) -> np.ndarray:
    return np.where(np.arange(28)[:, None, None] < 24, 255, image).astype(np.uint8)


def test_clean_data_have_no_finding_about_rows(
    arrays: Arrays, open_data: Callable[..., Artifact], audit: Callable[..., dict[str, Any]]
) -> None:
    document = audit(open_data(arrays))

    assert found(document) == {}
    assert document["blocking"] == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda image: image, "exact-duplicates-across-splits"),
        (brightened, "near-duplicates-across-splits"),
        (lambda image: np.roll(image, (1, 2), (0, 1)), "near-duplicates-across-splits"),
    ],
    ids=["copy", "brightened", "shifted"],
)
def test_a_copy_across_splits_is_found_and_blocks(
    arrays: Arrays,
    open_data: Callable[..., Artifact],
    audit: Callable[..., dict[str, Any]],
    change: Callable[[np.ndarray], np.ndarray],
    finding: str,
) -> None:
    arrays[TEST][1] = change(arrays[TRAIN][4])
    arrays["test_labels"][1] = arrays["train_labels"][4]

    document = audit(open_data(arrays))

    assert found(document) == {finding: [{("train", 4), ("test", 1)}]}
    assert document["blocking"] == [finding]


def test_copies_with_another_label_are_found(
    arrays: Arrays, open_data: Callable[..., Artifact], audit: Callable[..., dict[str, Any]]
) -> None:
    for row, other, image in ((2, 3, arrays[TRAIN][2]), (6, 7, brightened(arrays[TRAIN][6]))):
        arrays[TRAIN][other] = image
        arrays["train_labels"][other] = (arrays["train_labels"][row] + 1) % 8

    groups = found(audit(open_data(arrays)))

    assert groups["exact-duplicates-with-other-label"] == [{("train", 2), ("train", 3)}]
    assert {("train", 6), ("train", 7)} in groups["near-duplicates-with-other-label"]
    assert groups["exact-duplicates-within-split"] == [{("train", 2), ("train", 3)}]


@pytest.mark.parametrize(("change", "finding"), [(blank, "blank-images"), (saturated, "saturated-images")])
def test_an_image_that_shows_nothing_is_found(
    arrays: Arrays,
    open_data: Callable[..., Artifact],
    audit: Callable[..., dict[str, Any]],
    change: Callable[[np.ndarray], np.ndarray],
    finding: str,
) -> None:
    arrays["val_images"][2] = change(arrays["val_images"][2])

    assert found(audit(open_data(arrays))) == {finding: [{("validation", 2)}]}


def write_groups(path: Path, arrays: Arrays, shared: set[Row]) -> Path:
    """A groups file in which only the rows of `shared` belong together."""
    lines = ["split,index,group"]
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        for index in range(len(arrays[f"{name}_labels"])):
            lines.append(f"{split},{index},{'shared' if (split, index) in shared else f'{split}-{index}'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(arrays: Arrays) -> dict[str, int]:
    names = (("train", "train"), ("validation", "val"), ("test", "test"))
    return {split: len(arrays[f"{name}_labels"]) for split, name in names}


def test_a_group_across_splits_is_found(
    arrays: Arrays, open_data: Callable[..., Artifact], audit: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    shared = {("train", 0), ("test", 5)}
    groups = read_groups(write_groups(tmp_path / "groups.csv", arrays, shared), rows_of(arrays))

    document = audit(open_data(arrays), groups=groups)

    assert found(document)["groups-across-splits"] == [shared]
    assert document["blocking"] == ["groups-across-splits"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("split,index\ntrain,0\n", "line 1: the columns are split, index, expected split, index, group"),
        ("split,index,group\ndev,0,a\n", "line 2: unknown split 'dev'"),
        ("split,index,group\ntrain,9999,a\n", "line 2: index '9999' is no row of train"),
        ("split,index,group\ntrain,0,a\ntrain,0,b\n", "line 3: train row 0 is named a second time"),
        ("split,index,group\ntrain,0,a\n", "has no group"),
        ("split,index,group\ntrain,0,\n", "line 2: the group is empty"),
    ],
)
def test_a_wrong_groups_file_is_refused_with_its_line(arrays: Arrays, tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "groups.csv"
    file.write_text(text)

    with pytest.raises(DataError, match=reason):
        read_groups(file, rows_of(arrays))


def test_an_exception_covers_these_data_and_no_more_of_the_same(
    arrays: Arrays, open_data: Callable[..., Artifact], audit: Callable[..., dict[str, Any]]
) -> None:
    arrays[TEST][1] = arrays[TRAIN][4]
    arrays["test_labels"][1] = arrays["train_labels"][4]
    dataset = open_data(arrays)
    name = "exact-duplicates-across-splits"
    assert audit(dataset)["blocking"] == [name]

    allowed = audit(dataset, findings=[name], reason="a known twin", by="Ada")
    arrays[TEST][2] = arrays[TRAIN][5]
    arrays["test_labels"][2] = arrays["train_labels"][5]
    other = audit(open_data(arrays))

    finding = next(each for each in allowed["findings"] if each["id"] == name)
    assert (allowed["blocking"], audit(dataset)["blocking"]) == ([], [])
    assert (finding["allowed"]["by"], finding["allowed"]["reason"], finding["allowed"]["count"]) == (
        "Ada",
        "a known twin",
        1,
    )
    assert (other["blocking"], other["exceptions"]) == ([name], [])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"findings": ["nosuch"], "reason": "r", "by": "b"}, "unknown finding 'nosuch'"),
        ({"findings": ["blank-images"]}, "needs a reason and a name"),
        ({"findings": ["blank-images"], "reason": "r", "by": "b"}, "has no finding 'blank-images'"),
    ],
)
def test_an_exception_that_makes_no_sense_is_refused(
    arrays: Arrays,
    open_data: Callable[..., Artifact],
    audit: Callable[..., dict[str, Any]],
    options: dict[str, Any],
    reason: str,
) -> None:
    with pytest.raises(ConfigError, match=reason):
        audit(open_data(arrays), **options)


def test_the_page_and_the_text_show_what_was_found(
    arrays: Arrays, open_data: Callable[..., Artifact], home: Home, store: ArtifactStore
) -> None:
    arrays[TEST][1] = arrays[TRAIN][4]
    made = prepare_audit(
        open_data(arrays),
        features=None,
        groups=None,
        store=store,
        notify=lambda _: None,
        draw_page=audit_page,
    )

    page = HtmlPage((made.path / REPORT_HTML).read_text())
    assert page.problems == []
    assert page.tags["script"] == 0
    assert "exact-duplicates-across-splits" in page.text
    assert "train 4" in page.text
    assert "exact-duplicates-across-splits" in (made.path / REPORT_MARKDOWN).read_text()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 24))
def test_the_search_finds_the_pairs_that_brute_force_finds(seed: int, rows: int, radius: int) -> None:
    random = np.random.default_rng(seed)
    base = random.integers(0, 2**63, size=(1, rows), dtype=np.uint64)
    flips = np.uint64(1) << random.integers(0, 63, size=rows).astype(np.uint64)
    hashes = np.where(random.random(rows) < 0.5, base[:, :1] ^ flips, base)

    pairs = search_block(hashes, range(rows), radius)

    expected = {
        (one, other)
        for one in range(rows)
        for other in range(one + 1, rows)
        if int(hashes[0, one] ^ hashes[0, other]).bit_count() <= radius
    }
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
