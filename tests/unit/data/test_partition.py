"""Partitions: every row once, whatever the partitioner, and a clear refusal where that cannot be."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fedforge_runtime.config import PartitionConfig
from fedforge_runtime.data.partition import (
    PARTITIONERS,
    ClientRows,
    load_client_rows,
    parse_partition,
    partition_rows,
    prepare_partition,
    spreaders,
)
from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.storage.artifacts import ArtifactStore, read_json
from fedforge_runtime.storage.home import Home

CLASS_NAMES = ("basophil", "eosinophil", "erythroblast", "lymphocyte", "monocyte")
ANY_PARTITION = (
    "iid",
    "dirichlet:0.5",
    "shard:2",
    "pathological:2",
    "linear",
    "square",
    "exponential",
    "size:40,60,80,120",
    "inner_dirichlet:0.5",
    "geometric:5",
)


def configure(text: str, *, clients: int = 4, minimum_rows: int = 2, fraction: float = 0.1) -> PartitionConfig:
    name, parameters = parse_partition(text)
    return PartitionConfig(
        name=name,
        parameters=parameters,
        clients=clients,
        minimum_rows=minimum_rows,
        validation_fraction=fraction,
    )


def balanced_labels(rows: int = 300, classes: int = 5) -> np.ndarray:
    return np.arange(rows) % classes


def all_rows(client: ClientRows) -> np.ndarray:
    return np.sort(np.concatenate([client.train, client.validation]))


def global_random_state() -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state(legacy=False)["state"]
    return random.getstate(), numpy_state["key"].tolist(), numpy_state["pos"]


def same(first: list[ClientRows], second: list[ClientRows]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(one.train, other.train) and np.array_equal(one.validation, other.validation)
        for one, other in zip(first, second, strict=True)
    )


@st.composite
def compositions(draw: st.DrawFn, total: int, parts: int, minimum: int) -> list[int]:
    """`parts` numbers of at least `minimum` that add up to `total`."""
    spare = total - parts * minimum
    cuts = sorted(draw(st.lists(st.integers(0, spare), min_size=parts - 1, max_size=parts - 1)))
    return [minimum + high - low for low, high in zip([0, *cuts], [*cuts, spare], strict=True)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, PartitionConfig, int]:
    """Labels with gaps and rare classes, a partition that may fit them, and a seed."""
    classes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True))
    labels = np.array(draw(st.lists(st.sampled_from(classes), min_size=24, max_size=90)), dtype=np.uint8)
    clients = draw(st.integers(1, 6))
    minimum_rows = draw(st.integers(2, len(labels) // clients))
    name = draw(st.sampled_from(sorted(PARTITIONERS)))
    if name not in {"iid", "size", "inner_dirichlet"}:
        minimum_rows = 2
    present = len(np.unique(labels))
    parameters: dict[str, Any] = {}
    if "dirichlet" in name:
        parameters["alpha"] = draw(st.sampled_from([0.05, 0.5, 5, 1000.0]))
    if name == "shard":
        parameters["shards_per_client"] = draw(st.integers(1, len(labels) // clients))
    if name == "pathological":
        parameters["classes_per_client"] = draw(st.integers(-(-present // clients), present))
    if name == "size" or (name == "inner_dirichlet" and draw(st.booleans())):
        parameters["sizes"] = draw(compositions(len(labels), clients, minimum_rows))
    config = PartitionConfig(
        name=name,
        parameters=parameters,
        clients=clients,
        minimum_rows=minimum_rows,
        validation_fraction=draw(st.sampled_from([0.001, 0.1, 0.5, 0.999])),
    )
    return labels, config, draw(st.integers(0, 2**31 - 1))


@given(cases())
@settings(max_examples=200, deadline=None, database=None)
def test_every_row_has_one_client_and_one_slice(case: tuple[np.ndarray, PartitionConfig, int]) -> None:
    labels, config, seed = case
    try:
        clients = partition_rows(labels, config, seed=seed)
    except ConfigError:
        reject()

    assert len(clients) == config.clients
    slices = [part for client in clients for part in (client.train, client.validation)]
    assert np.array_equal(np.sort(np.concatenate(slices)), np.arange(len(labels)))
    for part in slices:
        assert part.dtype == np.int64
        assert len(part) >= 1
        assert (np.diff(part) > 0).all()
    assert min(len(all_rows(client)) for client in clients) >= config.minimum_rows
    if "sizes" in config.parameters:
        assert [len(all_rows(client)) for client in clients] == config.parameters["sizes"]
    if "classes_per_client" in config.parameters:
        held = {len(np.unique(labels[all_rows(client)])) for client in clients}
        assert held == {config.parameters["classes_per_client"]}
    assert same(clients, partition_rows(labels.astype(np.int64), config, seed=seed))


@given(cases(), st.integers(2, 40))
@settings(max_examples=60, deadline=None, database=None)
def test_a_partition_reaches_the_minimum_or_is_refused_with_numbers_and_remedy(
    case: tuple[np.ndarray, PartitionConfig, int], minimum_rows: int
) -> None:
    labels, config, seed = case
    smallest, refusal = minimum_rows, None
    try:
        clients = partition_rows(labels, config.model_copy(update={"minimum_rows": minimum_rows}), seed=seed)
        smallest = min(len(all_rows(client)) for client in clients)
    except ConfigError as error:
        refusal = error
    assert smallest >= minimum_rows
    if refusal:
        assert f"{len(labels)}" in refusal.message or f"minimum_rows is {minimum_rows}" in refusal.message
        assert refusal.remedy


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=80).map(np.array),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None, database=None)
def test_validation_slices_hold_each_class_in_proportion(labels: np.ndarray, fraction: float, seed: int) -> None:
    config = PartitionConfig(name="iid", clients=1, minimum_rows=2, validation_fraction=fraction)
    [client] = partition_rows(labels, config, seed=seed)
    rows = len(labels)
    assert len(client.validation) == min(max(round(rows * fraction), 1), rows - 1)
    quotas = len(client.validation) * np.bincount(labels) / rows
    taken = np.bincount(labels[client.validation], minlength=len(quotas))
    assert (np.abs(taken - quotas) <= 1).all()


def test_a_class_with_one_row_stays_in_training() -> None:
    labels = np.array([0] * 59 + [1])
    config = configure("iid", clients=1, fraction=0.5)
    for seed in range(20):
        [client] = partition_rows(labels, config, seed=seed)
        assert 59 in client.train


@pytest.mark.parametrize("text", ANY_PARTITION)
def test_another_seed_gives_another_partition(text: str) -> None:
    labels, config = balanced_labels(), configure(text)
    first, second = (partition_rows(labels, config, seed=seed) for seed in (17, 18))
    assert not same(first, second)


@pytest.mark.parametrize("text", ANY_PARTITION)
def test_global_random_state_is_neither_used_nor_changed(text: str) -> None:
    labels, config = balanced_labels(), configure(text)
    outcomes = []
    for global_seed in (1, 2):
        random.seed(global_seed)
        np.random.seed(global_seed)
        before = global_random_state()
        outcomes.append(partition_rows(labels, config, seed=17))
        after = global_random_state()
        assert before == after
    assert same(*outcomes)


def test_every_named_partitioner_is_covered_by_these_tests() -> None:
    assert {parse_partition(text)[0] for text in ANY_PARTITION} == set(PARTITIONERS)


def test_sizes_follow_the_partitioner_s_name() -> None:
    labels = balanced_labels()

    def sizes(text: str) -> list[int]:
        return [len(all_rows(client)) for client in partition_rows(labels, configure(text), seed=17)]

    assert sizes("iid") == [75, 75, 75, 75]
    assert sizes("linear") == [30, 60, 90, 120]
    assert sizes("square") == [10, 40, 90, 160]
    assert sizes("size:40,60,80,120") == [40, 60, 80, 120]
    assert sizes("inner_dirichlet") == [75, 75, 75, 75]
    assert sizes("exponential") == sorted(sizes("exponential"))


def test_iid_shares_hold_every_class_although_the_rows_are_sorted_by_class() -> None:
    labels = np.sort(balanced_labels())
    for client in partition_rows(labels, configure("iid"), seed=17):
        assert (np.bincount(labels[all_rows(client)], minlength=5) >= 5).all()


def test_a_small_alpha_is_more_skewed_than_a_large_one() -> None:
    labels = balanced_labels(2000)

    def largest_class_share(text: str) -> float:
        clients = partition_rows(labels, configure(text), seed=17)
        counts = [np.bincount(labels[all_rows(client)], minlength=5) for client in clients]
        return float(np.mean([count.max() / count.sum() for count in counts]))

    for name in ("dirichlet", "inner_dirichlet"):
        assert largest_class_share(f"{name}:1000") < 0.25
        assert largest_class_share(f"{name}:0.1") > 0.4


@pytest.mark.parametrize(("clients", "held"), [(3, 2), (3, 4), (4, 2), (5, 1), (8, 2)])
def test_pathological_clients_hold_exactly_their_classes_and_no_class_is_lost(clients: int, held: int) -> None:
    labels = balanced_labels()
    for seed in range(10):
        parts = partition_rows(labels, configure(f"pathological:{held}", clients=clients), seed=seed)
        classes = [set(labels[all_rows(client)].tolist()) for client in parts]
        assert {len(own) for own in classes} == {held}
        assert set().union(*classes) == set(range(5))


def test_shards_that_do_not_divide_the_rows_keep_every_row_and_few_classes() -> None:
    labels = np.repeat(np.arange(5), 61)[:-2]  # 303 rows, 8 shards
    clients = partition_rows(labels, configure("shard:2"), seed=17)
    assert sum(len(all_rows(client)) for client in clients) == 303
    assert all(len(all_rows(client)) in {74, 75, 76} for client in clients)
    assert all(len(np.unique(labels[all_rows(client)])) <= 4 for client in clients)


@pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")
def test_shards_that_divide_the_rows_are_those_of_flower() -> None:
    from datasets import Dataset
    from flwr_datasets.partitioner import ShardPartitioner

    from fedforge_runtime.seeds import derive_seed

    labels = balanced_labels(240)
    order = np.random.default_rng(derive_seed(17, "partition", "order")).permutation(240)
    flower = ShardPartitioner(4, "label", num_shards_per_partition=2, seed=derive_seed(17, "partition", "draw"))
    flower.dataset = Dataset.from_dict({"label": labels[order], "row": order})
    clients = partition_rows(labels, configure("shard:2"), seed=17)
    for number, client in enumerate(clients):
        assert all_rows(client).tolist() == sorted(flower.load_partition(number)["row"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iid", ("iid", {})),
        ("dirichlet", ("dirichlet", {"alpha": 0.5})),
        ("dirichlet:0.1", ("dirichlet", {"alpha": 0.1})),
        ("dirichlet:2", ("dirichlet", {"alpha": 2.0})),
        ("shard", ("shard", {"shards_per_client": 2})),
        ("shard:3", ("shard", {"shards_per_client": 3})),
        ("pathological:1", ("pathological", {"classes_per_client": 1})),
        ("size:100,200, 300", ("size", {"sizes": [100, 200, 300]})),
        ("inner_dirichlet:1e-1", ("inner_dirichlet", {"alpha": 0.1})),
    ],
)
def test_a_partition_is_read_from_name_and_argument(text: str, expected: tuple[str, dict[str, Any]]) -> None:
    assert parse_partition(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dirichlett:0.5", "Did you mean 'dirichlet'?"),
        ("", "Known: iid, dirichlet"),
        ("iid:3", "partition 'iid' takes no argument, not '3'"),
        ("dirichlet:", "alpha of partition 'dirichlet' must be a number above 0, at most 1000000, not ''"),
        ("dirichlet:lots", "not 'lots'"),
        ("dirichlet:0", "must be a number above 0, at most 1000000, not 0.0"),
        ("dirichlet:-0.5", "not -0.5"),
        ("dirichlet:nan", "not nan"),
        ("dirichlet:inf", "not inf"),
        ("inner_dirichlet:1e9", "at most 1000000, not 1000000000.0"),
        ("shard:0", "shards_per_client of partition 'shard' must be a whole number of at least 1, not 0"),
        ("shard:1.5", "must be a whole number of at least 1, not '1.5'"),
        ("pathological:two", "classes_per_client of partition 'pathological' must be a whole number"),
        ("size", "partition 'size' needs sizes, a list of whole numbers of at least 1"),
        ("size:10,20,", "not '10,20,'"),
        ("size:10,0", "must be a list of whole numbers of at least 1, not [10, 0]"),
    ],
)
def test_a_wrong_partition_text_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_partition(text)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "complaints"),
    [
        ({"name": "dirichlet-ish"}, ["unknown partition 'dirichlet-ish'", "Did you mean 'dirichlet'?"]),
        (
            {"parameters": {"alhpa": 0.5, "beta": 1}},
            ["'alhpa'", "Did you mean 'alpha'?", "unknown parameter 'beta' of partition 'dirichlet'"],
        ),
        ({"name": "iid", "parameters": {"alpha": 0.5}}, ["'alpha' of partition 'iid'", "It takes none"]),
        ({"parameters": {"alpha": 0}}, ["alpha", "above 0", "not 0"]),
        ({"parameters": {"alpha": [0.5]}}, ["alpha", "must be a number", "not [0.5]"]),
        ({"name": "shard", "parameters": {"shards_per_client": 2.0}}, ["whole number", "not 2.0"]),
        ({"name": "size", "parameters": {}}, ["needs sizes"]),
        ({"name": "size", "parameters": {"sizes": [0.5, 0.5]}}, ["whole numbers", "not [0.5, 0.5]"]),
        ({"clients": 301}, ["301 clients cannot share 300 rows"]),
        ({"minimum_rows": 76}, ["4 clients of at least 76 rows need 304, but there are 300"]),
        (
            {"parameters": {"alpha": 0.1}, "minimum_rows": 70},
            ["300 rows over 4 clients", "alpha 0.1", "partition.minimum_rows = 70", "Raise alpha"],
        ),
        (
            {"name": "linear", "minimum_rows": 31},
            ["of 300 rows leaves 1 of 4 clients", "minimum_rows = 31; the smallest has 30", "fewer clients"],
        ),
        ({"name": "exponential", "clients": 10}, ["300 rows over 10 clients", "would get no row"]),
        ({"name": "exponential", "clients": 150}, ["300 rows over 150 clients", "would get no row"]),
        (
            {"name": "pathological", "parameters": {"classes_per_client": 6}},
            ["classes_per_client is 6, but the rows have 5 classes"],
        ),
        (
            {"name": "pathological", "parameters": {"classes_per_client": 1}},
            ["4 clients with 1 classes each leave out 1 of 5 classes"],
        ),
        (
            {"name": "pathological", "parameters": {"classes_per_client": 5}, "clients": 100},
            ["300 rows over 100 clients, classes_per_client 5", "rarest has 60"],
        ),
        (
            {"name": "shard", "parameters": {"shards_per_client": 76}},
            ["4 clients with 76 shards each need 304 shards, but there are 300 rows"],
        ),
        (
            {"name": "size", "parameters": {"sizes": [100, 1, 400]}},
            [
                "sizes lists 3 clients, but partition.clients is 4",
                "sizes add up to 501, but there are 300 rows",
                "sizes go down to 1 rows, but partition.minimum_rows is 2",
            ],
        ),
        (
            {"name": "inner_dirichlet", "parameters": {"sizes": [50, 50, 50, 50]}},
            ["sizes add up to 200, but there are 300 rows"],
        ),
        (
            {"name": "inner_dirichlet", "parameters": {"alpha": 1e-6}},
            ["300 rows over 4 clients, alpha 1e-06", "ran out of rows", "Raise alpha"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(changes: dict[str, Any], complaints: list[str]) -> None:
    fields: dict[str, Any] = {"name": "dirichlet", "clients": 4, "minimum_rows": 2} | changes
    config = PartitionConfig(**fields)
    with pytest.raises(ConfigError) as refusal:
        partition_rows(balanced_labels(), config, seed=17)
    for complaint in complaints:
        assert complaint in str(refusal.value)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 clients cannot share 0 rows"):
        partition_rows(np.array([], dtype=np.int64), configure("pathological"), seed=17)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(rows,\)"):
        partition_rows(np.zeros((20, 1), dtype=np.int64), configure("iid"), seed=17)


@pytest.mark.parametrize(
    "broken",
    [
        [np.arange(0, 150), np.arange(149, 300)],
        [np.arange(0, 150), np.arange(151, 300)],
    ],
    ids=["a row twice", "a row missing"],
)
def test_a_partitioner_that_does_not_place_every_row_once_is_caught(
    broken: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreaders, "_ask", lambda *_, **__: broken)
    with pytest.raises(DataError, match="the partition is broken: of 300 rows"):
        store_partition(tmp_path, configure("iid", clients=2))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def store_partition(home: Path, config: PartitionConfig, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "seed": 17,
        "labels": balanced_labels(),
        "dataset_key": "0123456789",
        "class_names": CLASS_NAMES,
        "store": ArtifactStore(Home(home)),
    }
    return prepare_partition(config, **(arguments | changes))


def test_a_stored_partition_reads_back_client_by_client(tmp_path: Path) -> None:
    config = configure("dirichlet:0.5")
    artifact = store_partition(tmp_path, config)
    expected = partition_rows(balanced_labels(), config, seed=17)
    assert same([load_client_rows(artifact.path, client) for client in range(4)], expected)
    assert load_client_rows(artifact.path, 3).train.dtype == np.int64


def test_a_client_reads_no_other_client_s_files(tmp_path: Path) -> None:
    artifact = store_partition(tmp_path, configure("iid"))
    for number in (0, 1, 3):
        for file in (artifact.path / "clients" / f"{number:05d}").iterdir():
            file.unlink()
    assert len(all_rows(load_client_rows(artifact.path, 2))) == 75


def test_histograms_and_facts_count_the_rows(tmp_path: Path) -> None:
    labels = balanced_labels()
    artifact = store_partition(tmp_path, configure("size:40,60,80,120", fraction=0.25))

    histograms = read_json(artifact.path / "histograms.json")
    assert histograms["class_names"] == list(CLASS_NAMES)
    assert [entry["client"] for entry in histograms["clients"]] == [0, 1, 2, 3]
    for number, entry in enumerate(histograms["clients"]):
        rows = load_client_rows(artifact.path, number)
        assert entry["train"] == np.bincount(labels[rows.train], minlength=5).tolist()
        assert entry["validation"] == np.bincount(labels[rows.validation], minlength=5).tolist()

    facts = artifact.manifest["facts"]
    assert (facts["clients"], facts["rows"]) == (4, 300)
    assert (facts["train_rows"], facts["validation_rows"]) == (225, 75)
    assert facts["smallest_client"] == {"client": 0, "rows": 40}
    assert facts["largest_client"] == {"client": 3, "rows": 120}
    assert facts["coverage"] == {"rows_with_one_client": 300, "rows_without": 0, "rows_with_several": 0}
    assert facts["made_with"]["flwr-datasets"]


def test_the_same_inputs_are_made_once_and_other_inputs_apart(tmp_path: Path) -> None:
    config = configure("dirichlet:1")
    first = store_partition(tmp_path, config)
    again = store_partition(tmp_path, config.model_copy(update={"parameters": {"alpha": 1}}))
    assert (first.created, again.created, again.key) == (True, False, first.key)

    others = [
        store_partition(tmp_path, config, seed=18),
        store_partition(tmp_path, config, dataset_key="9876543210"),
        store_partition(tmp_path, config.model_copy(update={"validation_fraction": 0.2})),
        store_partition(tmp_path, config.model_copy(update={"clients": 3})),
    ]
    assert all(other.created for other in others)
    assert len({first.key, *(other.key for other in others)}) == 5


def test_two_homes_get_the_same_bytes(tmp_path: Path) -> None:
    first, second = (store_partition(tmp_path / name, configure("dirichlet")).manifest["files"] for name in "ab")
    assert first == second


def test_a_default_parameter_makes_the_same_artifact_as_its_value(tmp_path: Path) -> None:
    implicit = store_partition(tmp_path, PartitionConfig(clients=4))
    explicit = store_partition(tmp_path, PartitionConfig(clients=4, parameters={"alpha": 0.5}))
    assert implicit.key == explicit.key


def test_a_refused_partition_leaves_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        store_partition(tmp_path, configure("linear", minimum_rows=31))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_label_without_a_class_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels run from 0 to 4, but there are 3 class names"):
        store_partition(tmp_path, configure("iid"), class_names=CLASS_NAMES[:3])


def test_a_missing_client_is_named(tmp_path: Path) -> None:
    artifact = store_partition(tmp_path, configure("iid"))
    for number in (4, -1):
        with pytest.raises(DataError, match=f"no client {number}. It has 4 clients, numbered from 0"):
            load_client_rows(artifact.path, number)


@pytest.mark.parametrize("content", [b"", b"not numpy", None])
def test_a_broken_client_file_is_named_with_the_remedy(tmp_path: Path, content: bytes | None) -> None:
    artifact = store_partition(tmp_path, configure("iid"))
    file = artifact.path / "clients" / "00001" / "train.npy"
    file.write_bytes(file.read_bytes()[:-8] if content is None else content)
    with pytest.raises(DataError, match="cannot read the rows of client 1") as refusal:
        load_client_rows(artifact.path, 1)
    assert f"Delete {artifact.path}" in refusal.value.remedy


def test_a_stored_partition_is_used_without_importing_flower(tmp_path: Path) -> None:
    store_partition(tmp_path, configure("dirichlet"))
    script = """
import sys
from pathlib import Path
import numpy as np
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.config import PartitionConfig
from fedforge_runtime.data.partition import load_client_rows, prepare_partition
from fedforge_runtime.storage.home import Home

artifact = prepare_partition(
    PartitionConfig(clients=4, minimum_rows=2), seed=17, labels=np.arange(300) % 5, dataset_key="0123456789",
    class_names=[], store=ArtifactStore(Home(Path(sys.argv[1]))),
)
load_client_rows(artifact.path, 0)
heavy = {"datasets", "flwr_datasets", "torch", "transformers", "pandas", "sklearn", "medmnist"}
print(artifact.created, sorted(heavy & set(sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert finished.stdout.split(maxsplit=1) == ["False", "[]\n"]
