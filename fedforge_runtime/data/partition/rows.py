"""Gives every row of a dataset to one client, by a partitioner or a preset, for training or for validation; with the
proof that no row is lost or held twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedforge_runtime.config import ParameterValue, PartitionConfig, parse_named_argument
from fedforge_runtime.config.files import is_preset_file, preset_names
from fedforge_runtime.config.partitioners import PARTITIONERS, complete_parameters, find_partitioner, parse_partitioner
from fedforge_runtime.config.presets import FeatureSkewConfig, PresetConfig
from fedforge_runtime.data.partition.presets import find_preset, spread_preset
from fedforge_runtime.data.partition.spreaders import Integers, Task, spread
from fedforge_runtime.data.scanner import ScannerShift, draw_shift
from fedforge_runtime.errors import ConfigError, DataError
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.wording import suggest


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
class Partition:
    """Who holds which rows and sees them how."""

    clients: list[ClientRows]
    groups: list[str] | None
    """The name of each client's group of sites; none without a preset."""
    shifts: list[ScannerShift] | None
    """Each client's scanner; none without feature skew."""
    filled_up_rows: int = 0
    """How many rows a preset moved so that every client reached the minimum."""


def parse_partition(text: str) -> tuple[str, dict[str, ParameterValue]]:
    """Read `NAME[:ARGUMENT]`, a preset's name, or the path of a preset file, which ends in `.yaml`.

    Returns:
        The name, or path, and the parameters, defaults included: `dirichlet:0.1` gives
        `("dirichlet", {"alpha": 0.1})`, `hospital-skew` gives `("hospital-skew", {})`.

    Raises:
        ConfigError: an unknown name, or an argument that is missing, superfluous or wrong.
    """
    text = text.strip()
    if is_preset_file(text):
        return text, {}
    name, argument = parse_named_argument(text)
    if name in preset_names():
        if argument is not None:
            raise ConfigError(f"partition {name!r} is a preset and takes no argument.", remedy=f"Write {name}.")
        return name, {}
    if name not in PARTITIONERS:
        raise ConfigError(f"unknown partition {name!r}.", remedy=suggest(name, [*PARTITIONERS, *preset_names()]))
    return parse_partitioner(text)


def check_partition(config: PartitionConfig) -> None:
    """Refuse a name, parameter or value that no data could make right.

    Raises:
        ConfigError: with the nearest right name or the values that are allowed.
    """
    complete_partition(config)


def complete_partition(config: PartitionConfig) -> tuple[PartitionConfig, PresetConfig | None]:
    """The configuration with its parameters' defaults, and the preset that it holds or names.

    Raises:
        ConfigError: as `check_partition`.
    """
    if preset := find_preset(config):
        return config, preset
    complete = complete_parameters(find_partitioner(config.name), config.parameters)
    return config.model_copy(update={"parameters": complete}), None


def partition_rows(labels: npt.NDArray[Any], config: PartitionConfig, *, seed: int) -> list[ClientRows]:
    """Give every row to one client, as training or validation row.

    The result depends on the arguments alone. Rows are shuffled first; then Flower's partitioner of that name
    spreads them, or those of a preset's groups; then each client's validation rows are drawn, class by class in
    proportion to its rows.

    Args:
        labels: class of every row, integers of shape (rows,).
        config: partitioner or preset, clients, smallest client and validation fraction.
        seed: the run's seed.

    Returns:
        One entry per client; together they list 0 … rows - 1 exactly once.

    Raises:
        ConfigError: wrong parameters, or parameters that do not fit these rows; every reason is named.
        ValueError: labels of another type or shape.
    """
    return make_partition(labels, config, seed=seed).clients


def make_partition(labels: npt.NDArray[Any], config: PartitionConfig, *, seed: int) -> Partition:
    """`partition_rows`, with the clients' groups and scanners."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers of shape (rows,), not {labels.dtype} {labels.shape}")
    complete, preset = complete_partition(config)
    class_ids, codes = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(derive_seed(seed, "partition", "order")).permutation(len(labels))
    mixed = codes[order].astype(np.int64)
    group_numbers, filled_up = None, 0
    if preset:
        parts, group_numbers, filled_up = spread_preset(preset, mixed, class_ids.tolist(), complete, seed=seed)
    else:
        parts = spread(
            Task(
                name=complete.name,
                parameters=complete.parameters,
                labels=mixed,
                clients=complete.clients,
                minimum_rows=complete.minimum_rows,
                seed=derive_seed(seed, "partition", "draw"),
            )
        )
    held = [np.sort(order[positions]) for positions in parts]
    _require_minimum(held, config)
    clients = [
        hold_out(rows, labels[rows], config.validation_fraction, derive_seed(seed, "partition", "hold", number))
        for number, rows in enumerate(held)
    ]
    prove_coverage(clients, len(labels))
    return Partition(
        clients=clients,
        groups=[preset.groups[number].name for number in group_numbers] if preset and group_numbers else None,
        shifts=_draw_shifts(_feature_skews(config, preset, group_numbers), seed),
        filled_up_rows=filled_up,
    )


def _require_minimum(held: Sequence[Integers], config: PartitionConfig) -> None:
    sizes = [len(rows) for rows in held]
    smallest = min(sizes)
    if smallest < config.minimum_rows:
        short = sum(size < config.minimum_rows for size in sizes)
        raise ConfigError(
            f"partition {config.name!r} of {sum(sizes)} rows leaves {short} of {config.clients} clients with "
            f"fewer than partition.minimum_rows = {config.minimum_rows}; the smallest has {smallest}.",
            remedy="Use fewer clients or lower partition.minimum_rows.",
        )


def _feature_skews(
    config: PartitionConfig, preset: PresetConfig | None, group_numbers: Sequence[int] | None
) -> list[FeatureSkewConfig | None]:
    """Each client's feature skew: the configuration's own, which comes before that of the preset's groups."""
    if config.feature_skew or not preset or not group_numbers:
        return [config.feature_skew] * config.clients
    return [preset.groups[number].feature_skew for number in group_numbers]


def _draw_shifts(skews: Sequence[FeatureSkewConfig | None], seed: int) -> list[ScannerShift] | None:
    shifts = [draw_shift(skew, seed=seed, site=site) if skew else ScannerShift() for site, skew in enumerate(skews)]
    return None if all(shift.is_identity for shift in shifts) else shifts


def hold_out(rows: Integers, labels: npt.NDArray[Any], fraction: float, seed: int) -> ClientRows:
    """Draw a validation slice, stratified by largest remainders.

    Of the remainders, those that would leave a class without a training row come last.
    """
    generator = np.random.default_rng(seed)
    wanted = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = wanted * sizes / len(rows)
    taken = np.floor(quotas).astype(np.int64)
    takes_last_row = taken + 1 >= sizes
    by_claim = np.lexsort((generator.permutation(len(sizes)), taken - quotas, takes_last_row))
    taken[by_claim[: wanted - taken.sum()]] += 1
    validation = np.zeros(len(rows), dtype=bool)
    for code, count in enumerate(taken):
        validation[generator.permutation(np.flatnonzero(codes == code))[:count]] = True
    return ClientRows(train=rows[~validation], validation=rows[validation])


def prove_coverage(clients: Sequence[ClientRows], rows: int) -> None:
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
