"""Spreads a dataset's training rows over clients, and splits each client's rows into training and validation.

Who gets which row is drawn by Flower's partitioners (flwr-datasets), called by name. Whatever they return, a
partition leaves this module only after it is proven that every row belongs to exactly one client and slice.

Left out of Flower's list: `DistributionPartitioner` wants a matrix of classes by columns, which a parameter
cannot say, and a number of clients that is a multiple of the number of classes; the natural-id, continuous
and vertical partitioners need other columns than a label.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedforge_runtime.artifacts import Artifact, ArtifactStore, write_json
from fedforge_runtime.config import ParameterValue, PartitionConfig, parse_named_argument, suggest
from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.seeds import derive_seed

Integers = npt.NDArray[np.int64]

CODE_VERSION = 1
"""Part of every partition's key: raise it when the same configuration would give other rows."""


@dataclass(frozen=True)
class ClientRows:
    """One client's rows of the dataset's training split.

    Attributes:
        train: ascending row numbers (int64) that the client trains on; at least one.
        validation: ascending row numbers (int64) that it evaluates on; at least one, none of them in `train`.
    """

    train: Integers
    validation: Integers


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter of a partitioner: its type, its default and what values it takes."""

    name: str
    type: Literal["integer", "number", "integers"]
    description: str
    default: ParameterValue | None = None
    """`None`: the parameter has no default."""
    required: bool = False
    minimum: int = 1
    """The smallest value, or the smallest element of a list."""
    minimum_excluded: bool = False
    maximum: int | None = None

    @property
    def expectation(self) -> str:
        """What a value must be, in words."""
        noun = {"integer": "a whole number", "number": "a number", "integers": "a list of whole numbers"}
        bound = f"above {self.minimum}" if self.minimum_excluded else f"of at least {self.minimum}"
        ceiling = "" if self.maximum is None else f", at most {self.maximum}"
        return f"{noun[self.type]} {bound}{ceiling}"

    def accepts(self, value: object) -> bool:
        """Whether `value` has the type and lies within the bounds."""
        if self.type == "integers":
            return isinstance(value, list) and bool(value) and all(self._accepts_one(item) for item in value)
        return self._accepts_one(value)

    def _accepts_one(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if isinstance(value, float) and (self.type != "number" or not math.isfinite(value)):
            return False
        above = value > self.minimum if self.minimum_excluded else value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)

    def parse(self, text: str) -> ParameterValue | None:
        """The value that a command line's text stands for, `None` when it is of another type."""
        try:
            if self.type == "integers":
                return [int(item) for item in text.split(",")]
            return int(text) if self.type == "integer" else float(text)
        except ValueError:
            return None


@dataclass(frozen=True)
class PartitionerSpec:
    """A partitioner that can be named in a configuration."""

    name: str
    description: str
    parameters: tuple[ParameterSpec, ...] = ()
    """The first is the main parameter: the one that `NAME:ARGUMENT` sets."""

    @property
    def main_parameter(self) -> ParameterSpec | None:
        return self.parameters[0] if self.parameters else None


_ALPHA = ParameterSpec(
    "alpha",
    "number",
    "concentration: small is skewed, large is even",
    default=0.5,
    minimum=0,
    minimum_excluded=True,
    maximum=1_000_000,
)

PARTITIONERS: Mapping[str, PartitionerSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            PartitionerSpec("iid", "equal shares of shuffled rows"),
            PartitionerSpec(
                "dirichlet",
                "each class is shared out in proportions drawn from a Dirichlet distribution",
                (_ALPHA,),
            ),
            PartitionerSpec(
                "shard",
                "rows sorted by class are cut into equal shards, and every client draws as many",
                (ParameterSpec("shards_per_client", "integer", "shards that a client draws", default=2),),
            ),
            PartitionerSpec(
                "pathological",
                "every client holds a fixed number of classes",
                (ParameterSpec("classes_per_client", "integer", "classes that a client holds", default=2),),
            ),
            PartitionerSpec("linear", "shuffled rows; client i holds a share in proportion to i"),
            PartitionerSpec("square", "shuffled rows; client i holds a share in proportion to i²"),
            PartitionerSpec("exponential", "shuffled rows; client i holds a share in proportion to eⁱ"),
            PartitionerSpec(
                "size",
                "shuffled rows; every client holds the given number",
                (ParameterSpec("sizes", "integers", "rows of each client", required=True),),
            ),
            PartitionerSpec(
                "inner_dirichlet",
                "given client sizes; each client's mix of classes is drawn from a Dirichlet distribution",
                (_ALPHA, ParameterSpec("sizes", "integers", "rows of each client, equal by default")),
            ),
        )
    }
)


def parse_partition(text: str) -> tuple[str, dict[str, ParameterValue]]:
    """Read `NAME[:ARGUMENT]`, the argument being the partitioner's main parameter.

    Returns:
        The name and the parameters, defaults included: `dirichlet:0.1` gives `("dirichlet", {"alpha": 0.1})`,
        `size:100,200` gives `("size", {"sizes": [100, 200]})`.

    Raises:
        ConfigError: an unknown name, or an argument that is missing, superfluous or wrong.
    """
    name, argument = parse_named_argument(text.strip())
    spec = _find_partitioner(name)
    if argument is None:
        return name, _complete_parameters(spec, {})
    main = spec.main_parameter
    if main is None:
        raise ConfigError(f"partition {name!r} takes no argument, not {argument!r}.", remedy=f"Write {name}.")
    value = main.parse(argument)
    if value is None:
        raise ConfigError(f"{_wrong_value(spec, main, argument)}.")
    return name, _complete_parameters(spec, {main.name: value})


def check_partition(config: PartitionConfig) -> None:
    """Refuse a name, parameter or value that no data could make right.

    Raises:
        ConfigError: with the nearest right name or the values that are allowed.
    """
    _complete_parameters(_find_partitioner(config.name), config.parameters)


def partition_rows(labels: npt.NDArray[Any], config: PartitionConfig, *, seed: int) -> list[ClientRows]:
    """Give every row to one client, as training or validation row.

    The result depends on the arguments alone. Rows are shuffled first; then Flower's partitioner of that name
    spreads them; then each client's validation rows are drawn, class by class in proportion to its rows.

    Args:
        labels: class of every row, integers of shape (rows,).
        config: partitioner, clients, smallest client and validation fraction.
        seed: the run's seed.

    Returns:
        One entry per client; together they list 0 … rows - 1 exactly once.

    Raises:
        ConfigError: wrong parameters, or parameters that do not fit these rows; every reason is named.
        ValueError: labels of another type or shape.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers of shape (rows,), not {labels.dtype} {labels.shape}")
    spec = _find_partitioner(config.name)
    parameters = _complete_parameters(spec, config.parameters)
    _, codes, class_sizes = np.unique(labels, return_inverse=True, return_counts=True)
    problems = _misfits(config, parameters, rows=len(labels), classes=len(class_sizes))
    if problems:
        raise ConfigError(
            f"partition {spec.name!r} does not fit the data: {'; '.join(problems)}.",
            remedy="Change partition.clients, partition.minimum_rows or the partition's parameters.",
        )
    order_seed, draw_seed = (derive_seed(seed, "partition", purpose) for purpose in ("order", "draw"))
    order = np.random.default_rng(order_seed).permutation(len(labels))
    task = _Task(codes[order].astype(np.int64), class_sizes, config, parameters, draw_seed)
    groups = [np.sort(order[positions]) for positions in _SPREADERS[spec.name](task)]
    _require_minimum(groups, config)
    clients = [
        _hold_out(rows, labels[rows], config.validation_fraction, derive_seed(seed, "partition", "hold", number))
        for number, rows in enumerate(groups)
    ]
    _prove_coverage(clients, len(labels))
    return clients


def prepare_partition(
    config: PartitionConfig,
    *,
    seed: int,
    labels: npt.NDArray[Any],
    dataset_key: str,
    class_names: Sequence[str],
    store: ArtifactStore,
) -> Artifact:
    """The stored partition of one dataset; made when absent.

    The folder holds `clients/<number>/train.npy` and `validation.npy` (int64, ascending), and
    `histograms.json`: rows per client, slice and class.

    Args:
        config: how to partition.
        seed: the run's seed.
        labels: class of every training row, integers of shape (rows,).
        dataset_key: the dataset artifact that the labels are from.
        class_names: names by class number.
        store: where artifacts are kept.

    Raises:
        ConfigError: as `partition_rows`.
        DataError: a label without a class name.
        StorageError: the home cannot be written.
    """
    spec = _find_partitioner(config.name)
    complete = config.model_copy(update={"parameters": _complete_parameters(spec, config.parameters)})
    inputs = {
        "dataset": dataset_key,
        "partition": complete.model_dump(mode="json"),
        "seed": seed,
        "code": CODE_VERSION,
    }

    def build(folder: Path) -> dict[str, Any]:
        named = len(class_names)
        if len(labels) and not 0 <= labels.min() <= labels.max() < named:
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}, but there are {named} class names.",
                remedy="Check the dataset's labels.",
            )
        clients = partition_rows(labels, complete, seed=seed)
        _write_clients(folder, clients)
        histograms = [_histograms(number, rows, labels, class_names) for number, rows in enumerate(clients)]
        write_json(folder / "histograms.json", {"class_names": list(class_names), "clients": histograms})
        return _facts(clients)

    return store.build("partition", inputs, build)


def load_client_rows(folder: Path, client: int) -> ClientRows:
    """One client's rows of a stored partition; no other client's file is opened.

    Args:
        folder: the partition artifact's folder.
        client: the client's number, from 0.

    Raises:
        DataError: there is no such client, or its files are broken.
    """
    home = _client_folder(folder, client)
    if folder.is_dir() and not home.is_dir():
        count = sum(1 for _ in folder.glob("clients/*"))
        raise DataError(
            f"the partition {folder} has no client {client}.",
            remedy=f"It has {count} clients, numbered from 0.",
        )
    try:
        train, validation = (np.load(home / f"{name}.npy", allow_pickle=False) for name in ("train", "validation"))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"cannot read the rows of client {client} in {home}: {error}.",
            remedy=f"Delete {folder} and run again: the partition is made anew.",
        ) from error
    return ClientRows(train, validation)


def _find_partitioner(name: str) -> PartitionerSpec:
    spec = PARTITIONERS.get(name)
    if spec is None:
        raise ConfigError(f"unknown partition {name!r}.", remedy=suggest(name, PARTITIONERS))
    return spec


def _complete_parameters(spec: PartitionerSpec, given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """`given` checked, with the defaults of what is absent; every number of type `number` a float."""
    known = {parameter.name: parameter for parameter in spec.parameters}
    problems = []
    complete: dict[str, ParameterValue] = {}
    for name in given:
        if name not in known:
            advice = suggest(name, known).rstrip(".") if known else "It takes none"
            problems.append(f"unknown parameter {name!r} of partition {spec.name!r}. {advice}")
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            if parameter.required:
                problems.append(f"partition {spec.name!r} needs {name}, {parameter.expectation}")
        elif not parameter.accepts(value):
            problems.append(_wrong_value(spec, parameter, value))
        elif parameter.type == "number" and isinstance(value, int):
            complete[name] = float(value)
        else:
            complete[name] = value
    if problems:
        text = "; ".join(problems)
        raise ConfigError(text if text.endswith("?") else f"{text}.")
    return complete


def _wrong_value(spec: PartitionerSpec, parameter: ParameterSpec, value: object) -> str:
    return f"{parameter.name} of partition {spec.name!r} must be {parameter.expectation}, not {value!r}"


def _misfits(config: PartitionConfig, parameters: Mapping[str, Any], *, rows: int, classes: int) -> list[str]:
    """Why the rows cannot be spread so, as far as it can be told before trying."""
    clients, minimum = config.clients, config.minimum_rows
    problems = []
    if clients > rows:
        problems.append(f"{clients} clients cannot share {rows} rows")
    elif clients * minimum > rows:
        problems.append(f"{clients} clients of at least {minimum} rows need {clients * minimum}, but there are {rows}")
    if "classes_per_client" in parameters:
        held = parameters["classes_per_client"]
        if held > classes:
            problems.append(f"classes_per_client is {held}, but the rows have {classes} classes")
        elif clients * held < classes:
            problems.append(
                f"{clients} clients with {held} classes each leave out {classes - clients * held} "
                f"of {classes} classes, and every row must have a client"
            )
    if "shards_per_client" in parameters:
        shards = clients * parameters["shards_per_client"]
        if shards > rows:
            problems.append(
                f"{clients} clients with {parameters['shards_per_client']} shards each need {shards} shards, "
                f"but there are {rows} rows"
            )
    if "sizes" in parameters:
        sizes = parameters["sizes"]
        if len(sizes) != clients:
            problems.append(f"sizes lists {len(sizes)} clients, but partition.clients is {clients}")
        if sum(sizes) != rows:
            problems.append(f"sizes add up to {sum(sizes)}, but there are {rows} rows and each must have a client")
        if min(sizes) < minimum:
            problems.append(f"sizes go down to {min(sizes)} rows, but partition.minimum_rows is {minimum}")
    return problems


@dataclass(frozen=True)
class _Task:
    """What a partitioner is asked; it answers with one array of positions per client."""

    labels: Integers
    """Class of every position, numbered 0 … classes - 1 without gaps: some partitioners rely on it."""
    class_sizes: npt.NDArray[np.intp]
    config: PartitionConfig
    parameters: Mapping[str, Any]
    seed: int

    @property
    def clients(self) -> int:
        return self.config.clients

    @property
    def summary(self) -> str:
        numbers = [f"{name} {value}" for name, value in self.parameters.items() if not isinstance(value, list)]
        spread = f"{len(self.labels)} rows over {self.clients} clients"
        return f"partition {self.config.name!r} cannot spread {', '.join([spread, *numbers])}"


def _spread_iid(task: _Task) -> list[Integers]:
    from flwr_datasets.partitioner import IidPartitioner

    return _ask(IidPartitioner(task.clients), task.labels, task.clients)


def _spread_dirichlet(task: _Task) -> list[Integers]:
    from flwr_datasets.partitioner import DirichletPartitioner

    minimum = task.config.minimum_rows
    partitioner = DirichletPartitioner(
        num_partitions=task.clients,
        partition_by="label",
        alpha=task.parameters["alpha"],
        min_partition_size=minimum,
        shuffle=False,
        seed=task.seed,
    )
    reason = f"every draw left a client with fewer than partition.minimum_rows = {minimum}"
    with _refusal(task, reason, "Raise alpha, use fewer clients or lower partition.minimum_rows."):
        return _ask(partitioner, task.labels, task.clients)


def _spread_shards(task: _Task) -> list[Integers]:
    """Flower's partitioner deals out the shards, not the rows.

    Given the rows, it drops what is left after shards of equal size, all of it from the last class. Here
    shards differ by at most one row and cover every row; where rows divide evenly the result is Flower's own.
    """
    from flwr_datasets.partitioner import ShardPartitioner

    shards_per_client = task.parameters["shards_per_client"]
    shards = np.array_split(np.argsort(task.labels, kind="stable"), task.clients * shards_per_client)
    partitioner = ShardPartitioner(
        num_partitions=task.clients,
        partition_by="label",
        num_shards_per_partition=shards_per_client,
        shard_size=1,
        shuffle=False,
        seed=task.seed,
    )
    dealt = _ask(partitioner, np.arange(len(shards)), task.clients)
    return [np.concatenate([shards[number] for number in numbers]) for numbers in dealt]


def _spread_classes(task: _Task) -> list[Integers]:
    """Every client holds exactly `classes_per_client` classes, and every class is held.

    Classes are renumbered in an order drawn from the seed. With at least as many clients as classes this is
    Flower's `first-deterministic` mode (client i holds class i, the others are drawn), the one of Li et al.,
    https://arxiv.org/abs/2102.02079. With fewer clients every mode of Flower may leave classes out, and their
    rows with them; there the classes are dealt in turn, one to each of the `classes_per_client` parts that
    make up a client.
    """
    from flwr_datasets.partitioner import PathologicalPartitioner

    held = task.parameters["classes_per_client"]
    classes = len(task.class_sizes)
    labels = np.random.default_rng(task.seed).permutation(classes)[task.labels]
    in_turn = task.clients < classes
    parts_per_client = held if in_turn else 1
    partitioner = PathologicalPartitioner(
        num_partitions=task.clients * parts_per_client,
        partition_by="label",
        num_classes_per_partition=1 if in_turn else held,
        class_assignment_mode="deterministic" if in_turn else "first-deterministic",
        shuffle=False,
        seed=task.seed,
    )
    rarest = min(task.class_sizes)
    reason = f"a class would be held by more clients than it has rows (the rarest has {rarest})"
    with _refusal(task, reason, "Use fewer clients or lower classes_per_client."):
        parts = _ask(partitioner, labels, task.clients * parts_per_client)
    return [np.concatenate(parts[first : first + parts_per_client]) for first in range(0, len(parts), parts_per_client)]


def _spread_growing(task: _Task) -> list[Integers]:
    from flwr_datasets import partitioner as flower

    growing = {
        "linear": flower.LinearPartitioner,
        "square": flower.SquarePartitioner,
        "exponential": flower.ExponentialPartitioner,
    }
    with _refusal(task, "the smallest client would get no row", "Use fewer clients."):
        return _ask(growing[task.config.name](task.clients), task.labels, task.clients)


def _spread_sizes(task: _Task) -> list[Integers]:
    from flwr_datasets.partitioner import SizePartitioner

    return _ask(SizePartitioner(task.parameters["sizes"]), task.labels, task.clients)


def _spread_inner_dirichlet(task: _Task) -> list[Integers]:
    from flwr_datasets.partitioner import InnerDirichletPartitioner

    whole, larger = divmod(len(task.labels), task.clients)
    equal = [whole + (client < larger) for client in range(task.clients)]
    partitioner = InnerDirichletPartitioner(
        partition_sizes=task.parameters.get("sizes", equal),
        partition_by="label",
        alpha=task.parameters["alpha"],
        shuffle=False,
        seed=task.seed,
    )
    reason = "the classes that a client may draw from ran out of rows"
    with _refusal(task, reason, "Raise alpha."):
        return _ask(partitioner, task.labels, task.clients)


_SPREADERS: Mapping[str, Callable[[_Task], list[Integers]]] = {
    "iid": _spread_iid,
    "dirichlet": _spread_dirichlet,
    "shard": _spread_shards,
    "pathological": _spread_classes,
    "linear": _spread_growing,
    "square": _spread_growing,
    "exponential": _spread_growing,
    "size": _spread_sizes,
    "inner_dirichlet": _spread_inner_dirichlet,
}


def _ask(partitioner: Any, labels: Integers, partitions: int) -> list[Integers]:
    """The positions 0 … len(labels) - 1 that a Flower partitioner gives to each partition."""
    from datasets import Dataset

    # Arrow format: reading a column back is one copy, where the default goes row by row.
    columns = Dataset.from_dict({"label": labels, "position": np.arange(len(labels))}).with_format("arrow")
    partitioner.dataset = columns
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what they warn of is refused or repaired here
        loaded = [partitioner.load_partition(number) for number in range(partitions)]
    return [np.asarray(partition["position"], dtype=np.int64) for partition in loaded]


@contextmanager
def _refusal(task: _Task, reason: str, remedy: str) -> Iterator[None]:
    """Flower's `ValueError`, as an error that names our keys and numbers."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{task.summary}: {reason}.", remedy=remedy) from error


def _require_minimum(groups: Sequence[Integers], config: PartitionConfig) -> None:
    sizes = [len(group) for group in groups]
    smallest = min(sizes)
    if smallest < config.minimum_rows:
        short = sum(size < config.minimum_rows for size in sizes)
        raise ConfigError(
            f"partition {config.name!r} of {sum(sizes)} rows leaves {short} of {config.clients} clients with "
            f"fewer than partition.minimum_rows = {config.minimum_rows}; the smallest has {smallest}.",
            remedy="Use fewer clients or lower partition.minimum_rows.",
        )


def _hold_out(rows: Integers, labels: npt.NDArray[Any], fraction: float, seed: int) -> ClientRows:
    """Draw a validation slice, stratified by largest remainders.

    Of the remainders, those that would leave a class without a training row come last.
    """
    generator = np.random.default_rng(seed)
    wanted = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = wanted * sizes / len(rows)
    taken = np.floor(quotas).astype(np.int64)
    takes_last_row = taken + 1 >= sizes
    tie_break = generator.permutation(len(sizes))
    by_claim = np.lexsort((tie_break, taken - quotas, takes_last_row))
    taken[by_claim[: wanted - taken.sum()]] += 1
    validation = np.zeros(len(rows), dtype=bool)
    for code, count in enumerate(taken):
        validation[generator.permutation(np.flatnonzero(codes == code))[:count]] = True
    return ClientRows(train=rows[~validation], validation=rows[validation])


def _prove_coverage(clients: Sequence[ClientRows], rows: int) -> None:
    """Raise `DataError` unless the slices list 0 … rows - 1 exactly once and none is empty."""
    slices = [part for client in clients for part in (client.train, client.validation)]
    times = np.bincount(np.concatenate(slices), minlength=rows)
    if len(times) != rows or (times != 1).any() or not all(len(part) for part in slices):
        empty = sum(not len(part) for part in slices)
        raise DataError(
            f"the partition is broken: of {rows} rows, {np.count_nonzero(times == 0)} have no client and "
            f"{np.count_nonzero(times > 1)} have several; {empty} slices are empty.",
            remedy="Please report this with the configuration; another partition may work.",
        )


def _client_folder(folder: Path, client: int) -> Path:
    return folder / "clients" / f"{client:05d}"


def _write_clients(folder: Path, clients: Sequence[ClientRows]) -> None:
    for number, rows in enumerate(clients):
        home = _client_folder(folder, number)
        home.mkdir(parents=True)
        np.save(home / "train.npy", rows.train, allow_pickle=False)
        np.save(home / "validation.npy", rows.validation, allow_pickle=False)


def _histograms(number: int, rows: ClientRows, labels: npt.NDArray[Any], class_names: Sequence[str]) -> dict[str, Any]:
    train, validation = (
        np.bincount(labels[part], minlength=len(class_names)).tolist() for part in (rows.train, rows.validation)
    )
    return {"client": number, "train": train, "validation": validation}


def _facts(clients: Sequence[ClientRows]) -> dict[str, Any]:
    """What the manifest says of a partition whose coverage has been proven."""
    train = [len(client.train) for client in clients]
    validation = [len(client.validation) for client in clients]
    sizes = np.add(train, validation)
    smallest, largest = int(sizes.argmin()), int(sizes.argmax())
    return {
        "clients": len(clients),
        "rows": int(sizes.sum()),
        "train_rows": sum(train),
        "validation_rows": sum(validation),
        "smallest_client": {"client": smallest, "rows": int(sizes[smallest])},
        "largest_client": {"client": largest, "rows": int(sizes[largest])},
        "coverage": {"rows_with_one_client": int(sizes.sum()), "rows_without": 0, "rows_with_several": 0},
        "made_with": {package: version(package) for package in ("flwr-datasets", "datasets", "numpy")},
    }
