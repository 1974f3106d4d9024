"""What there is to know of a partition before anything is computed from it, and what to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from fedforge_runtime.config import ParameterValue, PartitionConfig
from fedforge_runtime.config.partitioners import PARTITIONERS
from fedforge_runtime.data.partition.rows import Partition, complete_partition, make_partition
from fedforge_runtime.data.scanner import ScannerShift
from fedforge_runtime.data.skew import Skew, measure_skew
from fedforge_runtime.wording import name_sites, short_name, some_of

FEW_ROWS = 50
"""Below this many rows, a client's own scores say little."""
_MOST_NAMED = 6


@dataclass(frozen=True)
class SiteGroup:
    """Clients that follow one another and belong together."""

    name: str
    first: int
    last: int

    @property
    def sites(self) -> str:
        """Which clients, in words."""
        if self.first == self.last:
            return f"site {self.first}"
        return f"sites {self.first} {'and' if self.last - self.first == 1 else 'to'} {self.last}"


@dataclass(frozen=True)
class PartitionPreview:
    """A partition as it is shown."""

    name: str
    parameters: dict[str, ParameterValue]
    title: str
    """Of a preset; else what the partitioner does."""
    story: str
    """Of a preset; else empty."""
    groups: tuple[SiteGroup, ...]
    """Of a preset; else empty."""
    seed: int
    class_names: tuple[str, ...]
    skew: Skew
    validation_rows: tuple[int, ...]
    """By client: how many of its rows it keeps for its own evaluation."""
    shifts: tuple[ScannerShift, ...]
    """By client; empty without feature skew."""
    warnings: tuple[str, ...]
    """What could make a run on this partition disappoint, in sentences."""

    @property
    def argument(self) -> str:
        """The partition as the command line names it, for example `dirichlet:0.5`."""
        values = [
            ",".join(map(str, value)) if isinstance(value, list) else f"{value:g}" for value in self.parameters.values()
        ]
        return ":".join([self.name, *values[:1]])

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "parameters": dict(self.parameters),
            "title": self.title,
            "story": self.story,
            "groups": [{"name": group.name, "first": group.first, "last": group.last} for group in self.groups],
            "seed": self.seed,
            "clients": len(self.skew.sites),
            "skew": self.skew.to_json(self.class_names),
            "validation_rows": list(self.validation_rows),
            "scanners": [
                {"client": number, "shift": shift.describe(), **shift.to_json()}
                for number, shift in enumerate(self.shifts)
            ],
            "warnings": list(self.warnings),
        }


def preview_partition(
    labels: npt.NDArray[Any], config: PartitionConfig, *, seed: int, class_names: Sequence[str]
) -> tuple[PartitionPreview, Partition]:
    """The partition of these rows, and what there is to say of it; nothing is stored.

    Args:
        labels: class of every training row, integers of shape (rows,).
        config: how to partition.
        seed: the run's seed.
        class_names: names by class number.

    Raises:
        ConfigError: as `partition_rows`.
    """
    partition = make_partition(labels, config, seed=seed)
    complete, preset = complete_partition(config)
    counts = [
        np.bincount(labels[np.concatenate([rows.train, rows.validation])], minlength=len(class_names))
        for rows in partition.clients
    ]
    skew = measure_skew(np.array(counts))
    validation_rows = tuple(len(rows.validation) for rows in partition.clients)
    preview = PartitionPreview(
        name=complete.name,
        parameters=complete.parameters,
        title=preset.title if preset else PARTITIONERS[complete.name].description,
        story=preset.story.strip() if preset else "",
        groups=tuple(_group_runs(partition.groups or [])),
        seed=seed,
        class_names=tuple(class_names),
        skew=skew,
        validation_rows=validation_rows,
        shifts=tuple(partition.shifts or ()),
        warnings=(
            *_warnings(skew, [short_name(name) for name in class_names], validation_rows),
            *_filled_up(partition, config),
        ),
    )
    return preview, partition


def _warnings(skew: Skew, class_names: Sequence[str], validation_rows: Sequence[int]) -> Iterator[str]:
    total = len(skew.sites)
    held_by = [[site.client for site in skew.sites if site.class_rows[code]] for code in range(len(class_names))]
    if total > 1:
        for code, holders in enumerate(held_by):
            if len(holders) == 1:
                yield (
                    f"Only site {holders[0]} holds {class_names[code]}: without its updates, "
                    "no model can learn this class."
                )
    if lacking := [site for site in skew.sites if site.missing_classes]:
        sites_by_lack: dict[str, list[int]] = {}
        for site in lacking:
            names = " and ".join(class_names[code] for code in site.missing_classes)
            many = f"{len(site.missing_classes)} of {len(class_names)} classes"
            sites_by_lack.setdefault(names if len(site.missing_classes) <= 2 else many, []).append(site.client)
        lists = [f"{lack} ({name_sites(sites)})" for lack, sites in sites_by_lack.items()]
        some = f"{len(lacking)} of {total} sites {'lack' if len(lacking) > 1 else 'lacks'}"
        yield (
            f"{'Every site lacks' if len(lacking) == total else some} a class: {some_of(lists, _MOST_NAMED)}. "
            "A site's own scores say nothing of classes that it lacks."
        )
    if small := [site for site in skew.sites if site.rows < FEW_ROWS]:
        lists = [
            f"site {site.client} ({site.rows} rows, {validation_rows[site.client]} for its own evaluation)"
            for site in small
        ]
        verb = "have" if len(small) > 1 else "has"
        yield f"{len(small)} of {total} sites {verb} fewer than {FEW_ROWS} rows: {some_of(lists, _MOST_NAMED)}."


def _filled_up(partition: Partition, config: PartitionConfig) -> Iterator[str]:
    if moved := partition.filled_up_rows:
        yield (
            f"{moved} {'rows were' if moved > 1 else 'row was'} moved from larger sites, so that every site has "
            f"partition.minimum_rows = {config.minimum_rows}."
        )


def _group_runs(names: Sequence[str]) -> Iterator[SiteGroup]:
    for name, run in groupby(range(len(names)), key=lambda number: names[number]):
        numbers = list(run)
        yield SiteGroup(name, numbers[0], numbers[-1])
