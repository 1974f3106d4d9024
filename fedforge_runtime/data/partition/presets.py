"""Gives each group of sites of a preset its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedforge_runtime.config import PartitionConfig
from fedforge_runtime.config.files import check_partitioners, load_preset
from fedforge_runtime.config.partitioners import PARTITIONERS, parse_partitioner
from fedforge_runtime.config.presets import FAIR, OTHERS, REST, PresetConfig, SiteGroupConfig, percentage
from fedforge_runtime.data.partition.spreaders import Integers, Task, spread
from fedforge_runtime.data.stratification import apportion
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.seeds import derive_seed

_EPSILON = 1e-9


def find_preset(config: PartitionConfig) -> PresetConfig | None:
    """The preset that a configuration holds or names, `None` when it names a partitioner.

    Raises:
        ConfigError: the name is neither, or a preset is given parameters.
    """
    if config.preset is None and config.name in PARTITIONERS:
        return None
    preset = config.preset or load_preset(config.name)
    if config.parameters:
        raise ConfigError(
            f"partition {config.name!r} is a preset and takes no parameters, but partition.parameters has "
            f"{', '.join(config.parameters)}.",
            remedy="Leave them out, or write your own preset: --partition FILE.yaml.",
        )
    check_partitioners(preset, config.name)
    return preset


def spread_preset(
    preset: PresetConfig, codes: Integers, class_ids: Sequence[int], config: PartitionConfig, *, seed: int
) -> tuple[list[Integers], list[int], int]:
    """Give every position to one site: first each class's rows to groups, then each group's to its sites.

    Sites that would come out below the minimum are filled up with rows of those that have most to spare, so that
    a preset fits whenever all sites together have enough rows for the minimum.

    Args:
        codes: class of every position, numbered 0 … classes - 1 without gaps, shape (rows,).
        class_ids: the dataset's own number of each of these classes.
        config: clients and smallest client.
        seed: the run's seed.

    Returns:
        Positions by client, the number of each client's group, and how many rows were moved to fill sites up.

    Raises:
        ConfigError: too few rows or sites, or a group's partitioner refuses; says which.
    """
    where = f"partition {config.name!r}"
    clients, minimum = config.clients, config.minimum_rows
    if clients * minimum > len(codes):
        raise ConfigError(
            f"{where} does not fit the data: {clients} clients of at least {minimum} rows need {clients * minimum}, "
            f"but there are {len(codes)}.",
            remedy="Use fewer clients or lower partition.minimum_rows.",
        )
    sites = _count_sites(preset, clients, where)
    group_generator = np.random.default_rng(derive_seed(seed, "partition", "groups"))
    selectors = _selector_of_classes(preset, np.bincount(codes), class_ids, where)
    held = _rows_of_groups(preset, codes, selectors, sites, group_generator, where)
    generator = np.random.default_rng(derive_seed(seed, "partition", "fill"))
    moved = _fill_up(held, [count * minimum for count in sites], generator)
    rows: list[Integers] = []
    group_numbers: list[int] = []
    for number, (group, count, positions) in enumerate(zip(preset.groups, sites, held, strict=True)):
        name, parameters = parse_partitioner(group.partitioner)
        _, local_codes = np.unique(codes[positions], return_inverse=True)
        task = Task(
            name=name,
            parameters=parameters,
            labels=local_codes.astype(np.int64),
            clients=count,
            minimum_rows=minimum,
            seed=derive_seed(seed, "partition", "draw", number),
            may_fall_short=True,
        )
        try:
            parts = spread(task)
        except ConfigError as error:
            raise ConfigError(f"{where}, group {group.name!r}: {error.message}", remedy=error.remedy) from error
        rows += [positions[part] for part in parts]
        group_numbers += [number] * count
    moved += _fill_up(rows, [minimum] * clients, generator)
    return rows, group_numbers, moved


def _count_sites(preset: PresetConfig, clients: int, where: str) -> list[int]:
    """How many sites each group has; every group at least one, all together `clients`."""
    fixed = {number: group.sites for number, group in enumerate(preset.groups) if isinstance(group.sites, int)}
    flexible = {number: percentage(group.sites) for number, group in enumerate(preset.groups) if number not in fixed}
    left = clients - sum(fixed.values())
    if left < len(flexible):
        needed = sum(fixed.values()) + len(flexible)
        raise ConfigError(
            f"{where} has {len(preset.groups)} groups of sites and needs at least {needed} sites, "
            f"but partition.clients is {clients}.",
            remedy=f"Use --clients {needed} or more.",
        )
    taken = sum(part for part in flexible.values() if part) + sum(fixed.values()) / clients
    rest = max(1 - taken, _EPSILON)
    shares = apportion([rest if part is None else part for part in flexible.values()], left, minimum=1)
    return [
        fixed[number] if number in fixed else shares[list(flexible).index(number)]
        for number in range(len(preset.groups))
    ]


def _rows_of_groups(
    preset: PresetConfig,
    codes: Integers,
    selectors: Sequence[str],
    sites: Sequence[int],
    generator: np.random.Generator,
    where: str,
) -> list[Integers]:
    """Ascending positions by group.

    Each class is shuffled before it is cut. Cut in the order of positions, a group would hold a class's last ones
    only, which partitioners that take neighbouring positions would give to its last sites.
    """
    parts: list[list[Integers]] = [[] for _ in preset.groups]
    for code, selector in enumerate(selectors):
        positions = generator.permutation(np.flatnonzero(codes == code)).astype(np.int64)
        counts = apportion(_weights(preset.groups, selector, sites, where), len(positions))
        for part, some in zip(parts, np.split(positions, np.cumsum(counts)[:-1]), strict=True):
            part.append(some)
    return [np.sort(np.concatenate(part)) for part in parts]


def _selector_of_classes(
    preset: PresetConfig, class_sizes: npt.NDArray[np.intp], class_ids: Sequence[int], where: str
) -> list[str]:
    """Which of the preset's choices of classes each class falls under; of several, the first.

    Rarest and commonest leave at least one class to the others, so that a preset fits any number of classes.
    """
    chosen = [OTHERS] * len(class_sizes)
    by_size = np.argsort(class_sizes, kind="stable").tolist()
    for selector in reversed(preset.selectors[:-1]):
        word, _, number = selector.partition(" ")
        if word == "class":
            if int(number) not in class_ids:
                raise ConfigError(
                    f"{where} names {selector}, but the rows have classes {', '.join(map(str, class_ids))}.",
                    remedy="Name another class in the preset; see the numbers with: fedforge partition PHASE --preview",
                )
            classes = [list(class_ids).index(int(number))]
        else:
            count = min(int(number or 1), max(len(class_sizes) - 1, 1))
            classes = by_size[:count] if word == "rarest" else by_size[::-1][:count]
        for each in classes:
            chosen[each] = selector
    return chosen


def _weights(groups: Sequence[SiteGroupConfig], selector: str, sites: Sequence[int], where: str) -> list[float]:
    """Each group's part of a class; they add up to 1."""
    shares = [group.share(selector) for group in groups]
    known = [
        count / sum(sites) if share == FAIR else percentage(share) for share, count in zip(shares, sites, strict=True)
    ]
    left = 1 - sum(weight for weight in known if weight is not None)
    if REST in shares and left < -_EPSILON:
        raise ConfigError(
            f"{where}: with {sum(sites)} sites, the fair shares and percentages of {selector!r} come to "
            f"{1 - left:.0%} of the rows and leave no rest.",
            remedy="Lower a share in the preset or change partition.clients.",
        )
    return [max(left, 0.0) if weight is None else weight for weight in known]


def _fill_up(held: list[Integers], minimums: Sequence[int], generator: np.random.Generator) -> int:
    """Bring each up to its minimum with random positions of whoever has most to spare; returns how many moved."""
    moved = 0
    for short, minimum in enumerate(minimums):
        while len(held[short]) < minimum:
            spare = [len(positions) - least for positions, least in zip(held, minimums, strict=True)]
            donor = int(np.argmax(spare))
            # Half of what is to spare, so that no single donor is drained.
            count = min(minimum - len(held[short]), (spare[donor] + 1) // 2)
            mixed = generator.permutation(held[donor])
            held[short] = np.sort(np.concatenate([held[short], mixed[:count]]))
            held[donor] = np.sort(mixed[count:])
            moved += count
    return moved
