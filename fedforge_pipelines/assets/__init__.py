"""One chain of assets for each phase, from the archive to the accepted model; a file for each part of the chain."""

from fedforge_pipelines.assets.data import data_assets
from fedforge_pipelines.assets.features import feature_assets
from fedforge_pipelines.assets.federation import federation_assets
from fedforge_pipelines.phases import PHASES

ASSETS = {phase.name: [*data_assets(phase), *feature_assets(phase), *federation_assets(phase)] for phase in PHASES}
"""The assets of each phase, in the curriculum's order."""
