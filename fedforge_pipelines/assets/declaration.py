"""How an asset of a phase is declared: what all of them have in common, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import dagster as dg

from fedforge_pipelines.phases import Phase
from fedforge_pipelines.settings import settings_key

POOL = "federated_run"
"""Of which Dagster gives one place: two federated runs never overlap."""
_HANDED = dg.PythonObjectDagsterType(dict, name="Handed", description="Key and path of an artifact, or of a run.")


@dataclass(frozen=True)
class Check:
    """What is asked of an asset once it is made; one that is blocking keeps the Dagster run from going on."""

    name: str
    description: str
    blocking: bool = False


def declare(
    phase: Phase,
    made_by: Callable[..., dg.MaterializeResult],
    *,
    kinds: Collection[str],
    checks: Sequence[Check] = (),
    waits_for: Sequence[str] = (),
    after_phase_before: bool = False,
    pool: str | None = None,
) -> dg.AssetsDefinition:
    """An asset of a phase.

    Args:
        made_by: its name is the asset's, its first line what Dagster's pages say of it, its parameters are what the
            assets of these names hand over.
        waits_for: assets of the phase that are to be there, and of which nothing is taken.
        after_phase_before: it needs the accepted model of the phase before, which it is given as `accepted`.
        pool: of which it takes a place.
    """
    key = dg.AssetKey([phase.name, made_by.__name__])
    before = phase.after if after_phase_before else None
    return dg.asset(
        key_prefix=[phase.name],
        group_name=phase.name,
        code_version="1",
        dagster_type=_HANDED,
        owners=["team:federated"],
        tags={"fedforge/phase": phase.name},
        required_resource_keys={settings_key(phase.name), "fedforge"},
        kinds=set(kinds),
        check_specs=[
            dg.AssetCheckSpec(check.name, asset=key, blocking=check.blocking, description=check.description)
            for check in checks
        ],
        deps=[dg.AssetKey([phase.name, name]) for name in waits_for],
        ins={"accepted": dg.AssetIn(dg.AssetKey([before, "global_model"]))} if before else {},
        pool=pool,
    )(made_by)
