"""What `dagster dev` and `dg dev` load."""

import dagster as dg

from fedforge_pipelines.assets import ASSETS
from fedforge_pipelines.automation import SCHEDULES, SENSORS
from fedforge_pipelines.jobs import JOBS
from fedforge_pipelines.phases import PHASES
from fedforge_pipelines.resources import Fedforge, Handover, PhaseSettings, settings_key

_fedforge = Fedforge.configure_at_launch()

defs = dg.Definitions(
    assets=[asset for built in ASSETS.values() for asset in built],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources={
        "fedforge": _fedforge,
        "io_manager": Handover(fedforge=_fedforge),
        **{settings_key(phase.name): PhaseSettings.configure_at_launch() for phase in PHASES},
    },
    executor=dg.in_process_executor,  # every heavy thing is a process of its own; a step's process would cost seconds
)
