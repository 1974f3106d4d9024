"""New splits: every row once, groups whole, classes as near to what is asked as groups allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.config import DatasetConfig
from fedforge_runtime.data.sources.datasets import SPLITS, load_labels, prepare_dataset
from fedforge_runtime.data.sources.groups import read_groups
from fedforge_runtime.data.sources.regroup import regroup
from fedforge_runtime.data.sources.resplit import write_split
from fedforge_runtime.errors import ConfigError, DataError, StorageError
from fedforge_runtime.storage.artifacts import ArtifactStore, read_json

FRACTIONS = (0.7, 0.1, 0.2)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.integers(1, 5), st.integers(1, 4))
def test_groups_stay_whole_and_no_split_is_empty(seed: int, count: int, largest: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(count), random.integers(1, largest + 1, count))
    labels = random.integers(0, classes, len(groups))

    made = regroup(groups, labels, FRACTIONS, classes=classes, seed=seed % 1000)

    for group in range(count):
        assert len(set(made.split_of_rows[groups == group])) == 1
    assert set(made.split_of_rows) == {0, 1, 2}
    assert made.class_rows.sum() == len(groups)
    np.testing.assert_array_equal(made.class_rows.sum(axis=0), np.bincount(labels, minlength=classes))
    again = regroup(groups, labels, FRACTIONS, classes=classes, seed=seed % 1000)
    np.testing.assert_array_equal(again.split_of_rows, made.split_of_rows)


def test_many_small_groups_come_near_to_what_is_asked_in_every_class() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(600), random.integers(1, 4, 600))
    labels = random.choice(4, size=600, p=[0.7, 0.2, 0.07, 0.03])[groups]

    made = regroup(groups, labels, FRACTIONS, classes=4, seed=17)

    assert (np.abs(made.class_rows - made.wanted) <= 2).all()


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (1.2, -0.1, -0.1), (1.0, 0.0, 0.0), (float("nan"), 0.5, 0.5)])
def test_fractions_that_are_none_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="are not positive numbers of sum 1"):
        regroup(np.arange(9), np.zeros(9, dtype=np.int64), fractions, classes=1, seed=0)


def test_fewer_groups_than_splits_are_refused() -> None:
    with pytest.raises(DataError, match="2 groups cannot fill 3 splits"):
        regroup(np.arange(8) % 2, np.zeros(8, dtype=np.int64), FRACTIONS, classes=1, seed=0)


def test_the_new_split_is_read_as_data_and_keeps_its_groups(store: ArtifactStore, tmp_path: Path) -> None:
    source = DatasetConfig(flag="bloodmnist", source="phantom", limit=240)
    dataset = prepare_dataset(source, store=store, notify=lambda _: None)
    sizes = {split: len(load_labels(dataset, split)) for split in SPLITS}
    lines = [
        f"{split},{index},{(place + index) % 60}" for place, split in enumerate(SPLITS) for index in range(sizes[split])
    ]
    file = tmp_path / "groups.csv"
    file.write_text("\n".join(["split,index,group", *lines]) + "\n")

    new = write_split(dataset, read_groups(file, sizes), tmp_path / "new", fractions=FRACTIONS, seed=3)

    config = DatasetConfig(flag="bloodmnist", source=str(new.folder))
    read = prepare_dataset(config, store=store, notify=lambda _: None)
    new_sizes = {split: len(load_labels(read, split)) for split in SPLITS}
    groups = read_groups(new.groups, new_sizes)
    held = [set(groups.of_split[split].tolist()) for split in SPLITS]
    assert sum(new_sizes.values()) == sum(sizes.values())
    assert sum(len(each) for each in held) == len(set().union(*held))
    assert read_json(new.folder / "split.json") == new.provenance
    with pytest.raises(StorageError, match="exists and is not an empty folder"):
        write_split(dataset, read_groups(file, sizes), tmp_path / "new", fractions=FRACTIONS, seed=3)
