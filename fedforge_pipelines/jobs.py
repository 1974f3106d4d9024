"""What is started as a whole: the curriculum, one phase, the nightly comparison."""

import dagster as dg

from fedforge_pipelines.phases import PHASES

CURRICULUM = "curriculum"
BASELINE_REGRESSION = "baseline_regression"
_DAY_SECONDS = 24 * 3600
_LIMIT = {"dagster/max_runtime": str(_DAY_SECONDS)}


def phase_job(name: str) -> str:
    """The job that materializes one phase."""
    return f"{name}_phase"


JOBS = [
    dg.define_asset_job(
        CURRICULUM,
        selection=dg.AssetSelection.groups(*(phase.name for phase in PHASES)),
        description="Blood, Derma, Path: each phase after the model of the one before was accepted.",
        tags=_LIMIT,
    ),
    *(
        dg.define_asset_job(
            phase_job(phase.name),
            selection=dg.AssetSelection.groups(phase.name),
            description=f"{phase.title}, from its data to the accepted model.",
            tags=_LIMIT,
        )
        for phase in PHASES
    ),
    dg.define_asset_job(
        BASELINE_REGRESSION,
        selection=dg.AssetSelection.assets(*([phase.name, "federated_run"] for phase in PHASES)).upstream(),
        description="Every phase anew with its own settings, held against its baseline.",
        tags=_LIMIT,
    ),
]
