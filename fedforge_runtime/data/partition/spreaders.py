"""Asks Flower's partitioners who gets which row; one function for each way of spreading."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedforge_runtime.data.stratification import apportion
from fedforge_runtime.errors import ConfigError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What a partitioner is asked; it answers with one array of positions per client."""

    name: str
    parameters: Mapping[str, Any]
    """Complete and checked."""
    labels: Integers
    """Class of every position, numbered 0 … classes - 1 without gaps: some partitioners rely on it."""
    clients: int
    minimum_rows: int
    seed: int
    may_fall_short: bool = False
    """Whether a client may be left with fewer than `minimum_rows`, because the asker fills it up."""

    @property
    def class_sizes(self) -> npt.NDArray[np.intp]:
        return np.bincount(self.labels)

    @property
    def summary(self) -> str:
        numbers = [f", {name} {value}" for name, value in self.parameters.items() if not isinstance(value, list)]
        spread = f"{len(self.labels)} rows over {self.clients} clients{''.join(numbers)}"
        return f"partition {self.name!r} cannot spread {spread}"


def spread(task: Task) -> list[Integers]:
    """Positions of `task.labels` by client, in any order, as Flower's partitioner of that name draws them.

    Raises:
        ConfigError: the rows cannot be spread so; every reason that can be told beforehand is named.
    """
    if problems := _misfits(task):
        raise ConfigError(
            f"partition {task.name!r} does not fit the data: {'; '.join(problems)}.",
            remedy="Change partition.clients, partition.minimum_rows or the partition's parameters.",
        )
    return _SPREADERS[task.name](task)


def _misfits(task: Task) -> list[str]:
    """Why the rows cannot be spread so, as far as it can be told before trying."""
    clients, minimum, parameters = task.clients, task.minimum_rows, task.parameters
    rows, classes = len(task.labels), len(task.class_sizes)
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
    return problems + _misfit_sizes(task) if "sizes" in parameters else problems


def _misfit_sizes(task: Task) -> list[str]:
    sizes, rows = task.parameters["sizes"], len(task.labels)
    problems = []
    if len(sizes) != task.clients:
        problems.append(f"sizes lists {len(sizes)} clients, but partition.clients is {task.clients}")
    if sum(sizes) != rows:
        problems.append(f"sizes add up to {sum(sizes)}, but there are {rows} rows and each must have a client")
    if min(sizes) < task.minimum_rows:
        problems.append(f"sizes go down to {min(sizes)} rows, but partition.minimum_rows is {task.minimum_rows}")
    return problems


def _spread_dirichlet(task: Task) -> list[Integers]:
    reason = f"every draw left a client with fewer than partition.minimum_rows = {task.minimum_rows}"
    with _refusal(task, reason, "Raise alpha, use fewer clients or lower partition.minimum_rows."):
        return _ask(
            "DirichletPartitioner",
            task.labels,
            num_partitions=task.clients,
            partition_by="label",
            alpha=task.parameters["alpha"],
            min_partition_size=0 if task.may_fall_short else task.minimum_rows,
            shuffle=False,
            seed=task.seed,
        )


def _spread_shards(task: Task) -> list[Integers]:
    """Flower's partitioner deals out the shards, not the rows.

    Given the rows, it drops what is left after shards of equal size, all of it from the last class. Here
    shards differ by at most one row and cover every row; where rows divide evenly the result is Flower's own.
    """
    shards_per_client = task.parameters["shards_per_client"]
    shards = np.array_split(np.argsort(task.labels, kind="stable"), task.clients * shards_per_client)
    dealt = _ask(
        "ShardPartitioner",
        np.arange(len(shards)),
        num_partitions=task.clients,
        partition_by="label",
        num_shards_per_partition=shards_per_client,
        shard_size=1,
        shuffle=False,
        seed=task.seed,
    )
    return [np.concatenate([shards[number] for number in numbers]) for numbers in dealt]


def _spread_classes(task: Task) -> list[Integers]:
    """Every client holds exactly `classes_per_client` classes, and every class is held.

    Classes are renumbered in an order drawn from the seed. With at least as many clients as classes this is
    Flower's `first-deterministic` mode (client i holds class i, the others are drawn), the one of Li et al.,
    https://arxiv.org/abs/2102.02079. With fewer clients every mode of Flower may leave classes out, and their
    rows with them; there the classes are dealt in turn, one to each of the `classes_per_client` parts that
    make up a client.
    """
    held, class_sizes = task.parameters["classes_per_client"], task.class_sizes
    in_turn = task.clients < len(class_sizes)
    parts_per_client = held if in_turn else 1
    reason = f"a class would be held by more clients than it has rows (the rarest has {min(class_sizes)})"
    with _refusal(task, reason, "Use fewer clients or lower classes_per_client."):
        parts = _ask(
            "PathologicalPartitioner",
            np.random.default_rng(task.seed).permutation(len(class_sizes))[task.labels],
            num_partitions=task.clients * parts_per_client,
            partition_by="label",
            num_classes_per_partition=1 if in_turn else held,
            class_assignment_mode="deterministic" if in_turn else "first-deterministic",
            shuffle=False,
            seed=task.seed,
        )
    return [np.concatenate(parts[first : first + parts_per_client]) for first in range(0, len(parts), parts_per_client)]


def _spread_by_number(task: Task) -> list[Integers]:
    """Partitioners that want to know the number of clients alone: equal shares, or shares that grow."""
    with _refusal(task, "the smallest client would get no row", "Use fewer clients."):
        return _ask(f"{task.name.title()}Partitioner", task.labels, num_partitions=task.clients)


def _spread_sizes(task: Task) -> list[Integers]:
    return _ask("SizePartitioner", task.labels, partition_sizes=task.parameters["sizes"])


def _spread_geometric(task: Task) -> list[Integers]:
    shares = np.geomspace(1.0, task.parameters["ratio"], task.clients).tolist()
    sizes = apportion(shares, len(task.labels), minimum=task.minimum_rows)
    return _ask("SizePartitioner", task.labels, partition_sizes=sizes)


def _spread_inner_dirichlet(task: Task) -> list[Integers]:
    whole, larger = divmod(len(task.labels), task.clients)
    equal = [whole + (client < larger) for client in range(task.clients)]
    with _refusal(task, "the classes that a client may draw from ran out of rows", "Raise alpha."):
        return _ask(
            "InnerDirichletPartitioner",
            task.labels,
            partition_sizes=task.parameters.get("sizes", equal),
            partition_by="label",
            alpha=task.parameters["alpha"],
            shuffle=False,
            seed=task.seed,
        )


_SPREADERS: Mapping[str, Callable[[Task], list[Integers]]] = {
    "iid": _spread_by_number,
    "dirichlet": _spread_dirichlet,
    "shard": _spread_shards,
    "pathological": _spread_classes,
    "linear": _spread_by_number,
    "square": _spread_by_number,
    "exponential": _spread_by_number,
    "size": _spread_sizes,
    "inner_dirichlet": _spread_inner_dirichlet,
    "geometric": _spread_geometric,
}


def _ask(name: str, labels: Integers, **arguments: Any) -> list[Integers]:
    """The positions 0 … len(labels) - 1 that Flower's partitioner of that name gives to each partition."""
    from datasets import Dataset
    from flwr_datasets import partitioner as flower

    partitioner = getattr(flower, name)(**arguments)
    # Arrow format: reading a column back is one copy, where the default goes row by row.
    partitioner.dataset = Dataset.from_dict({"label": labels, "position": np.arange(len(labels))}).with_format("arrow")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what they warn of is refused or repaired here
        loaded = [partitioner.load_partition(number) for number in range(partitioner.num_partitions)]
    return [np.asarray(partition["position"], dtype=np.int64) for partition in loaded]


@contextmanager
def _refusal(task: Task, reason: str, remedy: str) -> Iterator[None]:
    """Flower's `ValueError`, as an error that names our keys and numbers."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{task.summary}: {reason}.", remedy=remedy) from error
