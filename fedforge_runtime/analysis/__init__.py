"""What a run says of itself, as pandas frames: from a home, or from what a monitor has exported.

`read_run` and `read_export` give the same `RunData`, whose frames have the columns of `rounds.csv`, of `clients.csv`
and of the events' contract. What is derived of them (`waterfall`, `timeline`, `lost_sites`, `rank_correlation`) are
functions of plain data. `notebooks/convergence.ipynb` is made of these alone.
"""

from fedforge_runtime.analysis.association import RankCorrelation, rank_correlation
from fedforge_runtime.analysis.run_data import RunData
from fedforge_runtime.analysis.sources import find_home, newest_run, read_baseline, read_export, read_run
from fedforge_runtime.analysis.timing import lost_sites, timeline, waterfall

__all__ = [
    "RankCorrelation",
    "RunData",
    "find_home",
    "lost_sites",
    "newest_run",
    "rank_correlation",
    "read_baseline",
    "read_export",
    "read_run",
    "timeline",
    "waterfall",
]
