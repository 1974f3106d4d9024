"""What all assets have in common: how one is declared, and what its function works with while Dagster makes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines import display
from fedforge_pipelines.carrying import hold_request
from fedforge_pipelines.phases import Phase
from fedforge_pipelines.resources import Fedforge, PhaseSettings, settings_key
from fedforge_runtime.storage.artifacts import MANIFEST, read_json

POOL = "federated_run"
"""Of which Dagster gives one place: two federated runs never overlap."""
_HANDED = dg.PythonObjectDagsterType(dict, name="Handed", description="Key and path of an artifact, or of a run.")
MADE_IN = "dagster_run"
"""Beside key and path of what is handed over: the Dagster run whose settings it was made with."""
Handed = dict[str, Any]
"""What one asset tells the next: key and path of an artifact, or of a run."""


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


@dataclass(frozen=True)
class Step:
    """What the functions of the assets work with."""

    context: dg.AssetExecutionContext
    phase: str
    settings: PhaseSettings
    fedforge: Fedforge

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> Step:
        """The step of an asset, whose key begins with its phase."""
        phase = context.asset_key.path[0]
        return cls(context, phase, getattr(context.resources, settings_key(phase)), context.resources.fedforge)

    @classmethod
    def begin(cls, context: dg.AssetExecutionContext) -> Step:
        """The same, under the claim of the request that the Dagster run was started for, if it was for one."""
        step = cls.of(context)
        hold_request(step.fedforge, step.settings, context)
        return step

    @property
    def sites_bring_data(self) -> bool:
        """Whether the sites of the phase have data of their own, so that none are spread over them."""
        return self.fedforge.defaults().completed(self.settings.chosen()).get("federation.site_data") == "own"

    @property
    def links(self) -> dict[str, str]:
        """Where Dagster shows the step."""
        url = self.fedforge.dagster_run_url(self.context.run.run_id)
        return {"Dagster run": url} if url else {}

    def ask(self, command: str, *more: str) -> dict[str, Any]:
        """The answer of a `fedforge` command for this phase and its settings."""
        options = self.settings.options(self.fedforge.defaults())
        return self.fedforge.ask(self.context, command, self.phase, *options, *more)

    def prepare(self, until: str) -> dict[str, Any]:
        """The phase's artifacts up to one of them, made where they are absent."""
        return self.ask("prepare", "--until", until)

    def require_same(self, asset: str, handed: Handed, key: str) -> None:
        """Refuse to go on where an upstream asset was materialized with other settings than these.

        Raises:
            dg.Failure: it was.
        """
        if handed["key"] != key:
            raise dg.Failure(
                f"{self.phase}/{asset} was materialized with other settings (artifact {handed['key']}) than these "
                f"({key}). Materialize it in the same Dagster run, with the same settings.",
                allow_retries=False,
            )

    def result(
        self, artifact: Handed, metadata: display.Metadata, checks: Sequence[dg.AssetCheckResult]
    ) -> dg.MaterializeResult:
        """An artifact as what the asset is now, with what its page shows."""
        manifest = read_json(Path(artifact["path"]) / MANIFEST)
        return dg.MaterializeResult(
            value=artifact | {MADE_IN: self.context.run.run_id},
            metadata=metadata | display.origin(artifact, manifest),
            data_version=dg.DataVersion(display.content_hash(manifest)),
            check_results=checks,
        )


def facts_of(artifact: Handed) -> dict[str, Any]:
    """What the manifest of an artifact says of its contents."""
    return dict(read_json(Path(artifact["path"]) / MANIFEST)["facts"])
