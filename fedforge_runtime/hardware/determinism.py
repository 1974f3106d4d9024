"""Whether this machine gives the same bits twice, in other processes and with another number of workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fedforge_runtime.learning.parameters import model_sha256
from fedforge_runtime.processes import WorkerPool

_SITES = 2


@dataclass(frozen=True)
class SiteTraining:
    """A small head that one site trained in one process."""

    site: int
    process_id: int
    model_sha256: str


@dataclass(frozen=True)
class DeterminismCheck:
    """The same training in one worker and in two."""

    repeatable: bool
    """Two processes that trained the same site at the same time got the same bits."""
    independent_of_workers: bool
    """One worker and two got the same bits for every site."""
    processes: int
    """How many took part."""
    model_sha256: tuple[str, ...]
    """By site, in one worker."""

    @property
    def passed(self) -> bool:
        return self.repeatable and self.independent_of_workers


def check_determinism() -> DeterminismCheck:
    """Train small heads on the CPU, as a run does: each site in one worker, then each twice at once in two."""
    with WorkerPool(1) as one:
        alone = _trained(one, list(range(_SITES)))
    with WorkerPool(2) as two:
        together = [training for site in range(_SITES) for training in _trained(two, [site, site])]
    return judge(alone, together)


def judge(alone: Sequence[SiteTraining], together: Sequence[SiteTraining]) -> DeterminismCheck:
    """What trainings in one worker and in two say of each other.

    Args:
        alone: each site once.
        together: each site at least twice, in two processes.
    """
    expected = {training.site: training.model_sha256 for training in alone}
    found = {site: [each for each in together if each.site == site] for site in expected}
    return DeterminismCheck(
        repeatable=all(
            len({each.model_sha256 for each in trainings}) == 1 and len({each.process_id for each in trainings}) > 1
            for trainings in found.values()
        ),
        independent_of_workers=all(
            {each.model_sha256 for each in trainings} == {expected[site]} for site, trainings in found.items()
        ),
        processes=len({each.process_id for each in (*alone, *together)}),
        model_sha256=tuple(expected[site] for site in sorted(expected)),
    )


def _trained(pool: WorkerPool, sites: Sequence[int]) -> list[SiteTraining]:
    running = [pool.submit(_train, site) for site in sites]
    return [training.result() for training in running]


def _train(site: int) -> SiteTraining:
    from fedforge_runtime.learning.probe import train_small_head

    return SiteTraining(site, os.getpid(), model_sha256(train_small_head(site)))
