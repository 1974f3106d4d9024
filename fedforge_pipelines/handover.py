"""What one asset tells the next: keys and paths of artifacts, by value, each Dagster run its own."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines.fedforge import Fedforge
from fedforge_runtime.storage.artifacts import read_json, write_json


class Handover(dg.ConfigurableIOManager):
    """Keeps an asset's value in the folder of its Dagster run, so that two runs never read each other's.

    An asset that is not part of a run is read as the run handed it over that materialized it last.
    """

    fedforge: dg.ResourceDependency[Fedforge]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        file = self._file(context.run_id, context.asset_key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, obj)

    def load_input(self, context: dg.InputContext) -> Any:
        key = context.asset_key
        file = self._file(context.step_context.run_id, key)
        if not file.exists():
            event = context.instance.get_latest_materialization_event(key)
            if event is None:
                raise dg.Failure(f"{key.to_user_string()} was never materialized: do that first.", allow_retries=False)
            file = self._file(event.run_id, key)
        try:
            return read_json(file)
        except (OSError, ValueError) as error:
            raise dg.Failure(
                f"what {key.to_user_string()} handed over cannot be read ({error}): materialize it again.",
                allow_retries=False,
            ) from error

    def _file(self, run_id: str, key: dg.AssetKey) -> Path:
        return self.fedforge.opened().root / "dagster" / "handover" / run_id / f"{'.'.join(key.path)}.json"
