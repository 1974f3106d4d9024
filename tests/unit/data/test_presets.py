"""Presets: every row once whatever the data, the story that they tell, and refusals that name key and remedy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fedforge_runtime.config import PartitionConfig, load_run_config, read_run_config
from fedforge_runtime.config.files import load_preset, preset_names, read_preset_file
from fedforge_runtime.config.presets import FeatureSkewConfig, PresetConfig
from fedforge_runtime.data.partition import (
    Partition,
    find_preset,
    load_client_rows,
    load_scanner_shift,
    load_skew,
    make_partition,
    parse_partition,
    prepare_partition,
    row_shifts,
)
from fedforge_runtime.data.scanner import ScannerShift, draw_shift
from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, read_json
from fedforge_runtime.storage.home import Home

CLASS_NAMES = ("basophil", "eosinophil", "erythroblast", "lymphocyte", "monocyte")
TWO_GROUPS: dict[str, Any] = {
    "title": "Two kinds of sites",
    "story": "One laboratory and some wards.",
    "groups": [
        {"name": "laboratory", "sites": 1, "rows": {"class 1": "70%", "others": "20%"}},
        {"name": "ward", "sites": "rest", "rows": "rest", "partitioner": "dirichlet:1"},
    ],
}


def skewed_labels(rows: int = 600, classes: int = 5) -> np.ndarray:
    """Class 4 is the rarest, class 0 the commonest."""
    shares = 0.5 ** np.arange(classes)
    counts = np.maximum((rows * shares / shares.sum()).astype(int), 2)
    counts[0] += rows - counts.sum()
    return np.random.default_rng(0).permutation(np.repeat(np.arange(classes), counts))


def held(partition: Partition, client: int) -> np.ndarray:
    rows = partition.clients[client]
    return np.sort(np.concatenate([rows.train, rows.validation]))


def holds(partition: Partition, labels: np.ndarray, client: int) -> np.ndarray:
    return np.bincount(labels[held(partition, client)], minlength=labels.max() + 1)


def assert_complete(partition: Partition, labels: np.ndarray, config: PartitionConfig) -> None:
    assert len(partition.clients) == config.clients
    slices = [part for rows in partition.clients for part in (rows.train, rows.validation)]
    assert np.array_equal(np.sort(np.concatenate(slices)), np.arange(len(labels)))
    assert all(len(part) for part in slices)
    assert min(len(held(partition, client)) for client in range(config.clients)) >= config.minimum_rows


def assert_same(one: Partition, other: Partition) -> None:
    assert (one.groups, one.shifts, one.filled_up_rows) == (other.groups, other.shifts, other.filled_up_rows)
    for first, second in zip(one.clients, other.clients, strict=True):
        assert np.array_equal(first.train, second.train)
        assert np.array_equal(first.validation, second.validation)


def preset_of(document: dict[str, Any]) -> PresetConfig:
    return PresetConfig.model_validate(document)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """Labels of 1 to 9 classes with gaps and any imbalance; clients and a minimum that they have rows for."""
    classes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True))
    counts = draw(st.lists(st.integers(1, 60), min_size=len(classes), max_size=len(classes)))
    labels = np.repeat(np.array(classes, dtype=np.uint8), counts)
    if len(labels) < 4:
        labels = np.concatenate([labels, np.full(4, classes[0], dtype=np.uint8)])
    clients = draw(st.integers(2, min(24, len(labels) // 2)))
    minimum_rows = draw(st.integers(2, max(2, len(labels) // clients)))
    mixed = np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)
    return mixed, clients, minimum_rows


@pytest.mark.parametrize("name", preset_names())
@given(case=datasets(), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None, database=None)
def test_every_preset_fits_any_data_with_enough_rows_and_gives_each_row_to_one_client(
    name: str, case: tuple[np.ndarray, int, int], seed: int
) -> None:
    labels, clients, minimum_rows = case
    config = PartitionConfig(name=name, clients=clients, minimum_rows=minimum_rows)
    partition = make_partition(labels, config, seed=seed)
    assert_complete(partition, labels, config)
    assert_same(partition, make_partition(labels.astype(np.int64), config, seed=seed))


@st.composite
def presets(draw: st.DrawFn) -> dict[str, Any]:
    """Presets that add up: up to three groups, with shares of all rows and of chosen classes."""
    groups = draw(st.integers(1, 3))
    selectors = draw(
        st.lists(st.sampled_from(["rarest", "rarest 2", "commonest", "commonest 3"]), max_size=2, unique=True)
    )

    def percentages(least: int) -> list[str]:
        cuts = sorted(draw(st.lists(st.integers(0, 100 - least * groups), min_size=groups - 1, max_size=groups - 1)))
        edges = [0, *cuts, 100 - least * groups]
        return [f"{least + high - low}%" for low, high in pairwise(edges)]

    shares = {selector: percentages(0) for selector in [*selectors, "others"]}
    sites = percentages(1)
    if draw(st.booleans()):
        sites = ["rest", *("1" for _ in sites[1:])]
    return {
        "title": "Any",
        "story": "Any groups of sites.",
        "groups": [
            {
                "name": f"group {number}",
                "sites": int(sites[number]) if sites[number].isdigit() else sites[number],
                "rows": {selector: values[number] for selector, values in shares.items()},
                "partitioner": draw(st.sampled_from(["iid", "dirichlet:0.2", "geometric:5"])),
            }
            for number in range(groups)
        ],
    }


@given(presets(), datasets(), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None, database=None)
def test_any_preset_that_adds_up_fits_or_says_how_many_sites_it_needs(
    document: dict[str, Any], case: tuple[np.ndarray, int, int], seed: int
) -> None:
    labels, clients, minimum_rows = case
    preset = preset_of(document)
    config = PartitionConfig(name="any", preset=preset, clients=clients, minimum_rows=minimum_rows)
    if clients < len(preset.groups):
        with pytest.raises(ConfigError, match=f"needs at least {len(preset.groups)} sites"):
            make_partition(labels, config, seed=seed)
        return
    partition = make_partition(labels, config, seed=seed)
    assert_complete(partition, labels, config)
    assert partition.groups is not None
    assert list(dict.fromkeys(partition.groups)) == [group.name for group in preset.groups]


@pytest.mark.parametrize("name", preset_names())
def test_another_seed_gives_another_partition(name: str) -> None:
    labels, config = skewed_labels(), PartitionConfig(name=name)
    first, second = (make_partition(labels, config, seed=seed) for seed in (17, 18))
    assert any(
        not np.array_equal(one.train, other.train) for one, other in zip(first.clients, second.clients, strict=True)
    )


@pytest.mark.parametrize("name", preset_names())
def test_too_few_rows_are_one_error_with_numbers_and_remedy(name: str) -> None:
    config = PartitionConfig(name=name, clients=10, minimum_rows=10)
    with pytest.raises(ConfigError) as refusal:
        make_partition(skewed_labels(99), config, seed=17)
    assert f"partition {name!r} does not fit the data" in refusal.value.message
    assert "10 clients of at least 10 rows need 100, but there are 99" in refusal.value.message
    assert refusal.value.remedy == "Use fewer clients or lower partition.minimum_rows."


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_title_and_a_paragraph_of_story(name: str) -> None:
    preset = load_preset(name)
    assert 10 <= len(preset.title) <= 60
    assert len(preset.story.split()) >= 25


def test_hospital_skew_has_few_large_sites_with_most_of_the_rare_classes_and_a_scanner_each() -> None:
    labels = skewed_labels(4000)
    partition = make_partition(labels, PartitionConfig(name="hospital-skew"), seed=17)
    assert partition.groups == ["university hospital"] * 2 + ["district hospital"] * 8
    counts = np.array([holds(partition, labels, client) for client in range(10)])
    assert counts[:2].sum() == pytest.approx(2000, abs=300)
    assert counts[:2, 3:].sum() == pytest.approx(0.75 * counts[:, 3:].sum(), abs=2)
    assert partition.shifts
    assert len({shift.describe() for shift in partition.shifts}) == 10


def test_one_rare_site_holds_nine_of_ten_rows_of_the_rarest_class_and_its_fair_share_of_others() -> None:
    labels = skewed_labels(4000)
    partition = make_partition(labels, PartitionConfig(name="one-rare-site"), seed=17)
    totals, first = np.bincount(labels), holds(partition, labels, 0)
    assert first[4] == round(0.9 * totals[4])
    assert np.abs(first[:4] - totals[:4] / 10).max() <= 1
    assert partition.shifts is None


def test_sizes_vary_by_the_ratio_and_in_nothing_else() -> None:
    labels = skewed_labels(4000)
    partition = make_partition(labels, PartitionConfig(name="sizes-vary"), seed=17)
    sizes = [len(held(partition, client)) for client in range(10)]
    assert sizes == sorted(sizes)
    assert sizes[-1] / sizes[0] == pytest.approx(30, rel=0.03)


def test_label_shards_leave_a_site_few_classes() -> None:
    labels = skewed_labels(4000)
    partition = make_partition(labels, PartitionConfig(name="label-shards"), seed=17)
    sizes = [len(held(partition, client)) for client in range(10)]
    assert max(sizes) - min(sizes) <= 2
    assert all(np.count_nonzero(holds(partition, labels, client)) <= 4 for client in range(10))


def test_scanners_differ_and_labels_do_not() -> None:
    labels = skewed_labels(4000)
    with_skew = make_partition(labels, PartitionConfig(name="scanners-differ"), seed=17)
    assert with_skew.shifts
    assert len(set(with_skew.shifts)) == 10
    counts = np.array([holds(with_skew, labels, client) for client in range(10)])
    assert np.abs(counts - counts.mean(axis=0)).max() < 30


def test_sites_below_the_minimum_are_filled_up_and_it_is_told() -> None:
    labels = skewed_labels(110)
    config = PartitionConfig(name="sizes-vary", clients=10, minimum_rows=10)
    partition = make_partition(labels, config, seed=17)
    assert_complete(partition, labels, config)
    hard = {**TWO_GROUPS["groups"][1], "name": "ward", "sites": "100%", "rows": "100%", "partitioner": "dirichlet:0.05"}
    preset = preset_of({**TWO_GROUPS, "groups": [hard]})
    filled = make_partition(labels, PartitionConfig(name="x", preset=preset, clients=10), seed=17)
    assert filled.filled_up_rows > 0
    assert min(len(held(filled, client)) for client in range(10)) == 10


def test_a_preset_of_ones_own_gives_each_group_its_shares() -> None:
    labels = skewed_labels(1000)
    config = PartitionConfig(name="mine", preset=preset_of(TWO_GROUPS), clients=4)
    partition = make_partition(labels, config, seed=17)
    totals, first = np.bincount(labels), holds(partition, labels, 0)
    assert partition.groups == ["laboratory", "ward", "ward", "ward"]
    assert first[1] == round(0.7 * totals[1])
    assert np.abs(np.delete(first, 1) - 0.2 * np.delete(totals, 1)).max() <= 1


def test_a_class_is_named_by_its_own_number_even_where_numbers_have_gaps() -> None:
    labels = skewed_labels(1000)
    labels[labels == 1] = 7
    document = {**TWO_GROUPS, "groups": [{**TWO_GROUPS["groups"][0], "rows": {7: "70%", "others": "20%"}},
                                         TWO_GROUPS["groups"][1]]}  # fmt: skip
    partition = make_partition(labels, PartitionConfig(name="x", preset=preset_of(document), clients=3), seed=17)
    assert holds(partition, labels, 0)[7] == round(0.7 * np.count_nonzero(labels == 7))
    with pytest.raises(ConfigError, match="names class 1, but the rows have classes 0, 2, 3, 4, 7"):
        make_partition(labels, PartitionConfig(name="x", preset=preset_of(TWO_GROUPS), clients=3), seed=17)


def test_a_group_whose_partitioner_refuses_is_named() -> None:
    document = {**TWO_GROUPS, "groups": [TWO_GROUPS["groups"][0],
                                         {**TWO_GROUPS["groups"][1], "partitioner": "pathological:9"}]}  # fmt: skip
    config = PartitionConfig(name="x", preset=preset_of(document), clients=3)
    with pytest.raises(ConfigError, match=r"partition 'x', group 'ward': .* classes_per_client is 9"):
        make_partition(skewed_labels(), config, seed=17)


def test_fair_shares_and_percentages_that_leave_no_rest_are_refused_with_the_sites() -> None:
    groups = [
        {"name": "a", "sites": 3, "rows": "fair"},
        {"name": "b", "sites": 1, "rows": "60%"},
        {"name": "c", "sites": "rest", "rows": "rest"},
    ]
    preset = preset_of({**TWO_GROUPS, "groups": groups})
    with pytest.raises(ConfigError, match="with 5 sites, the fair shares and percentages of 'others' come to 120%"):
        make_partition(skewed_labels(), PartitionConfig(name="x", preset=preset, clients=5), seed=17)
    assert_complete(
        make_partition(skewed_labels(), config := PartitionConfig(name="x", preset=preset, clients=12), seed=17),
        skewed_labels(),
        config,
    )


def write_preset(folder: Path, document: Any) -> Path:
    file = folder / "my-preset.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


def changed(path: str, value: Any) -> dict[str, Any]:
    """`TWO_GROUPS` with one value changed, `groups.0.sites` for example; `None` removes it."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TWO_GROUPS))
    *parents, last = path.split(".")
    target: Any = document
    for parent in parents:
        target = target[int(parent)] if parent.isdigit() else target[parent]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "complaints"),
    [
        (changed("titel", "x"), ["unknown key 'titel'. Did you mean 'title'?"]),
        (changed("story", None), ["story: field required"]),
        (changed("groups", []), ["groups: list should have at least 1 item"]),
        (changed("groups.0.site", 1), ["unknown key 'groups.0.site'. Did you mean 'sites'?"]),
        (changed("groups.0.sites", 0), ["groups.0.sites", "a number of sites", "not 0"]),
        (changed("groups.0.sites", "120%"), ["groups.0.sites", "not '120%'"]),
        (changed("groups.0.sites", "rest"), ["2 of them take the rest of the sites; only one can"]),
        (changed("groups.1.sites", "80%"), ["sites add up to 80% and 1 sites", "give one group sites: rest"]),
        (changed("groups.0.sites", "100%"), ["sites add up to 100%, which leaves no rest"]),
        (changed("groups.0.rows", "half"), ["groups.0.rows", "'half' is no share", "write a percentage"]),
        (changed("groups.0.rows", 0.5), ["groups.0.rows", "0.5 is no share"]),
        (changed("groups.0.rows", {"rare": "10%"}), ["'rare' is no choice of classes", "rarest"]),
        (changed("groups.0.rows", {}), ["groups.0.rows", "must name a share"]),
        (changed("groups.1.rows", "70%"), ["their rows of 'class 1' add up to 140%"]),
        (changed("groups.1.rows", {"class 1": "30%", "others": "70%"}), ["'others' add up to 90%, not 100%"]),
        (changed("groups.0.rows", "rest"), ["rows of all: 2 groups take the rest"]),
        (changed("groups.1.rows", "fair"), ["mix fair with percentages; give one group the rest"]),
        (changed("groups.1.name", "laboratory"), ["the name 'laboratory' is used twice"]),
        (changed("groups.1.partitioner", "dirichlett:1"), ["groups.1.partitioner", "Did you mean 'dirichlet'?"]),
        (changed("groups.1.partitioner", "dirichlet:0"), ["groups.1.partitioner", "alpha", "above 0"]),
        (changed("groups.1.feature_skew", {"strength": 2}), ["groups.1.feature_skew.strength", "not 2"]),
        (changed("groups.1.feature_skew", {"blurr": [0, 1]}), ["groups.1.feature_skew.blurr", "Did you mean 'blur'?"]),
        (changed("groups.1.feature_skew", {"blur": [0, 1]}), ["blur must lie within 0 and 0.25"]),
        ("- title", ["must be a mapping with title, story and groups"]),
        ("title: [", ["is not valid YAML"]),
    ],
)
def test_a_wrong_preset_file_is_refused_with_key_and_remedy(
    document: Any, complaints: list[str], tmp_path: Path
) -> None:
    file = write_preset(tmp_path, document)
    with pytest.raises(ConfigError) as refusal:
        read_preset_file(file)
    for complaint in ["my-preset.yaml", *complaints]:
        assert complaint in str(refusal.value)


def test_a_preset_file_that_is_not_there_is_refused_with_the_presets_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the partition preset .*: No such file") as refusal:
        load_run_config("blood", options={"partition.name": str(tmp_path / "none.yaml")})
    assert "hospital-skew" in refusal.value.remedy


def test_a_preset_is_named_like_a_partitioner() -> None:
    assert parse_partition("hospital-skew") == ("hospital-skew", {})
    assert parse_partition(" ./mine.yaml ") == ("./mine.yaml", {})
    with pytest.raises(ConfigError, match="is a preset and takes no argument"):
        parse_partition("hospital-skew:3")
    with pytest.raises(ConfigError, match="Did you mean 'hospital-skew'"):
        parse_partition("hospital-skw")


def test_another_name_forgets_the_parameters_of_the_former() -> None:
    for assignments in (
        ["partition.name=hospital-skew"],
        ["partition.name=shard", "partition.parameters.shards_per_client=3"],
        ["partition.parameters.shards_per_client=3", "partition.name=shard"],
    ):
        section = load_run_config("blood", assignments=assignments).partition
        assert section.parameters == ({"shards_per_client": 3} if section.name == "shard" else {})
    kept = load_run_config("blood", assignments=["partition.name=dirichlet"]).partition
    assert kept.parameters == {"alpha": 0.5}


def test_a_preset_with_parameters_is_refused() -> None:
    config = PartitionConfig(name="sizes-vary", parameters={"ratio": 3})
    with pytest.raises(ConfigError, match=r"is a preset and takes no parameters, but partition\.parameters has ratio"):
        find_preset(config)


def test_a_preset_file_s_content_stands_in_the_run_s_configuration(tmp_path: Path) -> None:
    file = write_preset(tmp_path, changed("groups.1.feature_skew", {"strength": 0.3, "blur": [0, 0.01]}))
    config = load_run_config("blood", options={"partition.name": str(file)})
    file.unlink()
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert read_run_config(tmp_path / "config.yaml") == config
    assert config.partition.name == "my-preset"
    assert config.partition.preset
    assert [group.name for group in config.partition.preset.groups] == ["laboratory", "ward"]
    again = load_run_config("blood", config_file=tmp_path / "config.yaml")
    assert again.partition == config.partition
    other = load_run_config("blood", config_file=tmp_path / "config.yaml", assignments=["partition.name=iid"])
    assert other.partition.preset is None


def store(folder: Path, config: PartitionConfig, *, seed: int = 17) -> Artifact:
    return prepare_partition(
        config,
        seed=seed,
        labels=skewed_labels(),
        dataset_key="0123456789",
        class_names=CLASS_NAMES,
        store=ArtifactStore(Home(folder)),
    )


def test_a_preset_counts_by_its_content_and_not_by_its_name_or_path(tmp_path: Path) -> None:
    packaged = store(tmp_path, PartitionConfig(name="one-rare-site", clients=4))
    copied = store(tmp_path, PartitionConfig(name="mine", preset=load_preset("one-rare-site"), clients=4))
    assert copied.key == packaged.key
    first, second = (
        store(tmp_path, PartitionConfig(name="mine", preset=preset_of(document), clients=4))
        for document in (TWO_GROUPS, changed("groups.0.rows", {"class 1": "60%", "others": "20%"}))
    )
    assert len({packaged.key, first.key, second.key}) == 3
    assert packaged.manifest["inputs"]["partition"]["preset"]["groups"][0]["rows"] == {
        "rarest": "90%",
        "others": "fair",
    }


def test_keys_from_before_presets_stay(tmp_path: Path) -> None:
    """The key of dirichlet:0.5 over ten clients, as it was made before presets and feature skew came."""
    inputs = {
        "dataset": "0123456789",
        "partition": {
            "name": "dirichlet",
            "parameters": {"alpha": 0.5},
            "clients": 10,
            "validation_fraction": 0.1,
            "minimum_rows": 10,
        },
        "seed": 17,
        "code": 1,
    }
    before = ArtifactStore(Home(tmp_path)).key("partition", inputs)
    assert store(tmp_path, PartitionConfig()).key == before
    none = PartitionConfig(feature_skew=FeatureSkewConfig(strength=0))
    assert store(tmp_path, none).key == before
    assert store(tmp_path, PartitionConfig(feature_skew=FeatureSkewConfig(strength=0.5))).key != before


def test_feature_skew_goes_with_any_partitioner_and_moves_no_row(tmp_path: Path) -> None:
    plain = store(tmp_path, PartitionConfig(clients=4))
    config = load_run_config(
        "blood", options={"partition.clients": 4}, assignments=["partition.feature_skew.strength=0.5"]
    )
    skewed = store(tmp_path, config.partition)
    expected = [draw_shift(FeatureSkewConfig(strength=0.5), seed=17, site=site) for site in range(4)]
    assert [load_scanner_shift(skewed.path, client) for client in range(4)] == expected
    assert row_shifts(plain.path) is None
    assert load_scanner_shift(plain.path, 0) is None
    stored = row_shifts(skewed.path)
    assert stored
    holders, shifts = stored
    assert (holders.dtype, holders.shape, shifts) == (np.int32, (600,), expected)
    for client in range(4):
        one, other = load_client_rows(plain.path, client), load_client_rows(skewed.path, client)
        assert np.array_equal(one.train, other.train)
        rows = np.sort(np.concatenate([other.train, other.validation]))
        assert np.array_equal(np.flatnonzero(holders == client), rows)
    assert skewed.manifest["facts"]["scanners"] == [shift.describe() for shift in expected]


def test_feature_skew_of_the_configuration_comes_before_that_of_the_preset() -> None:
    labels = skewed_labels()
    none = PartitionConfig(name="hospital-skew", feature_skew=FeatureSkewConfig(strength=0))
    assert make_partition(labels, none, seed=17).shifts is None
    strong = PartitionConfig(name="label-shards", feature_skew=FeatureSkewConfig(strength=1))
    assert make_partition(labels, strong, seed=17).shifts


def test_a_group_without_scanners_of_its_own_sees_images_as_they_are(tmp_path: Path) -> None:
    preset = preset_of(changed("groups.0.feature_skew", {"strength": 0.8}))
    artifact = store(tmp_path, PartitionConfig(name="x", preset=preset, clients=3))
    first, second, third = (load_scanner_shift(artifact.path, client) for client in range(3))
    assert first
    assert not first.is_identity
    assert second == third == ScannerShift()


def test_skew_and_story_are_stored_with_the_partition(tmp_path: Path) -> None:
    artifact = store(tmp_path, PartitionConfig(name="one-rare-site", clients=4))
    skew, facts = load_skew(artifact.path), artifact.manifest["facts"]
    assert facts["skew"] == skew.summary()
    assert read_json(artifact.path / "skew.json") == skew.to_json(CLASS_NAMES)
    assert skew.class_rows == tuple(np.bincount(skewed_labels()).tolist())
    assert facts["preset"]["groups"] == ["reference centre", "other site", "other site", "other site"]
    assert facts["preset"]["story"].startswith("Patients with the rarest disease")


def test_the_skew_of_a_partition_from_before_it_was_stored_is_known(tmp_path: Path) -> None:
    artifact = store(tmp_path, PartitionConfig(clients=4))
    before = load_skew(artifact.path)
    (artifact.path / "skew.json").unlink()
    assert load_skew(artifact.path) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"stain": [1]}'])
def test_a_broken_scanner_file_is_named_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    artifact = store(tmp_path, PartitionConfig(name="scanners-differ", clients=3))
    (artifact.path / "clients" / "00001" / "scanner.json").write_bytes(content)
    with pytest.raises(DataError, match="cannot read the scanner of client 1") as refusal:
        row_shifts(artifact.path)
    assert f"Delete {artifact.path}" in refusal.value.remedy
