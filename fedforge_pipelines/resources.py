"""Dagster's resources: what can be chosen for a phase, how the `fedforge` command is run, and what assets hand on.

The command runs in processes of its own, none of which outlives the step.
"""

# Without `from __future__ import annotations`: Dagster reads these annotations.
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import dagster as dg
from pydantic import Field

from fedforge_runtime.config import PROFILES
from fedforge_runtime.errors import ConfigError, DownloadError, RunStoppedError
from fedforge_runtime.processes import explain_death
from fedforge_runtime.processes.background import Background
from fedforge_runtime.processes.child import LastWords
from fedforge_runtime.processes.lifeline import TiedProcess
from fedforge_runtime.runs.attempts import request_options
from fedforge_runtime.runs.offer import ClaimantDefaults
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home

_GRACE_SECONDS = 4.0
_LOOK_SECONDS = 1.0
_OVER = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)


def is_over(context: dg.AssetExecutionContext) -> bool:
    """Whether Dagster has a step's run as terminated, or failed: a code server that was started anew tells nobody."""
    with suppress(Exception):  # whatever keeps its database from an answer, it is asked again
        run = context.instance.get_run_by_id(context.run.run_id)
        return run is not None and run.status in _OVER
    return False


class Fedforge(dg.ConfigurableResource):
    """Where FedForge works, and how its command is run."""

    home: str = Field(default="", description="default $FEDFORGE_HOME or ./.fedforge")
    monitor: str = Field(default="", description="URL of the monitor that follows runs; default $FEDFORGE_MONITOR")
    dashboard: str = Field(
        default="", description="URL of the dashboard, for links to it; default $FEDFORGE_DASHBOARD, or the monitor's"
    )
    dagster: str = Field(default="", description="URL of Dagster's pages, for links to them; default $FEDFORGE_DAGSTER")
    baselines: str = Field(default="", description="default $FEDFORGE_BASELINES or ./baselines")

    answers_checks: bool = Field(default=True, description="say what a request would be, before it is made")

    def opened(self) -> Home:
        return Home.resolve(Path(self.home) if self.home else None)

    def monitor_url(self) -> str | None:
        return self.monitor or os.environ.get("FEDFORGE_MONITOR") or None

    def defaults(self) -> ClaimantDefaults:
        """What is taken where neither the launchpad nor a request says anything.

        Raises:
            dg.Failure: the environment says what cannot be.
        """
        try:
            return ClaimantDefaults.of_environment()
        except ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    def run_url(self, run_id: str) -> str | None:
        """The page of a run at the monitor."""
        pages = self._pages()
        return f"{pages}/runs/{run_id}" if pages else None

    def dagster_run_url(self, dagster_run_id: str) -> str | None:
        """The page of a Dagster run; `None` where nobody said where the pages are."""
        pages = self.dagster or os.environ.get("FEDFORGE_DAGSTER")
        return f"{pages}/runs/{dagster_run_id}" if pages else None

    def page(self, file: Path, path: str) -> dg.UrlMetadataValue:
        """A link to a report: at the monitor, as a page that came by http may not open a file, else to the file."""
        pages = self._pages()
        return dg.MetadataValue.url(f"{pages}{path}" if pages else file.as_uri())

    def _pages(self) -> str | None:
        """Where a browser finds the monitor, which is not always where the run does."""
        monitor = self.monitor_url()
        return monitor and (self.dashboard or os.environ.get("FEDFORGE_DASHBOARD") or monitor)

    def ask(
        self,
        context: dg.AssetExecutionContext,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON that a command answers with; what it tells people goes to the step's log.

        Raises:
            dg.Failure: it failed, with its last error.
        """
        context.log.info(f"fedforge {' '.join(arguments)}")
        process = TiedProcess(
            ["fedforge", *arguments, "--home", str(self.opened().root), "--json"],
            environment={"COLUMNS": "200", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        words = LastWords(process, context.log.info)
        try:
            with _Watch(context, process):
                assert process.stdout is not None
                output = process.stdout.read()
                process.wait()
        finally:
            process.end(by=signal.SIGINT, grace=_GRACE_SECONDS)
            words.join()
        code = process.returncode
        if code != 0:
            raise dg.Failure(
                words.error or f"fedforge {arguments[0]} ended: {explain_death(code)}.",
                metadata={"command": arguments[0], "exit_code": code, "stopped": code == RunStoppedError.exit_code},
                allow_retries=code == DownloadError.exit_code,
            )
        return dict(json.loads(output))


class _Watch(Background):
    """Ends a command once Dagster has its run as terminated, where nobody has interrupted the step."""

    def __init__(self, context: dg.AssetExecutionContext, process: TiedProcess) -> None:
        super().__init__("watch-termination")
        self._context = context
        self._process = process

    def _work(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            if is_over(self._context):
                self._process.end(by=signal.SIGINT, grace=_GRACE_SECONDS)
                return


def settings_key(phase: str) -> str:
    """The resource that holds a phase's settings."""
    return f"{phase}_settings"


class PhaseSettings(dg.ConfigurableResource):
    """The settings of one phase in one Dagster run, the same for all its assets; what is left out is the phase's own.

    They become options of the `fedforge` command, which checks them.
    """

    data: str = Field(default="", description="official, phantom, auto, or a folder with the phase's .npz")
    backbone: str = Field(default="", description="hub id, checkpoint folder, or untrained")
    profile: str = Field(default=PROFILES[0], description=" or ".join(PROFILES))
    clients: Optional[int] = Field(default=None, description="number of sites")  # noqa: UP045
    rounds: Optional[int] = Field(default=None, description="rounds of federated training")  # noqa: UP045
    partition: str = Field(default="", description="how rows are spread over sites; see: fedforge partition --list")
    strategy: str = Field(default="", description="for example fedavg, fedadam, krum, closed_form")
    engine: str = Field(default="", description="inprocess, ray or superlink")
    mode: str = Field(default="", description="head_only, last_block or full")
    seed: Optional[int] = Field(default=None, description="of every random draw")  # noqa: UP045
    bounds: bool = Field(default=True, description="also train what the result is compared with")
    overrides: dict[str, Any] = Field(default={}, description="any other key, for example partition.parameters.alpha")
    allow_findings: list[str] = Field(
        default=[], description="findings of the audit that may stand in these very data, by their id"
    )
    allowed_because: str = Field(default="", description="why they may stand")
    allowed_by: str = Field(default="", description="who decides so")
    run_id: str = Field(default="", description="of a request that a monitor keeps; set by the sensor")

    def chosen(self) -> dict[str, Any]:
        """The chosen configuration keys, dotted, with their values."""
        named = {
            "dataset.source": self.data,
            "backbone.name": self.backbone,
            "partition.name": self.partition,
            "partition.clients": self.clients,
            "federation.rounds": self.rounds,
            "federation.strategy.name": self.strategy,
            "runtime.engine": self.engine,
            "learning.mode": self.mode,
            "seed": self.seed,
        }
        return {key: value for key, value in named.items() if value not in ("", None)} | self.overrides

    def options(self, defaults: ClaimantDefaults) -> list[str]:
        """The same as options of `fedforge`, with what is taken where nothing was chosen.

        Raises:
            dg.Failure: a folder is named that is not offered.
        """
        try:
            return request_options(self.profile, defaults.completed(self.chosen()))
        except ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    def request(self, phase: str) -> dict[str, Any]:
        """The federated run as a monitor keeps it: whoever starts it again asks for the same."""
        return {"phase": phase, "profile": self.profile, "overrides": self.chosen(), "requested_by": "dagster"}

    def audit_options(self) -> list[str]:
        """What else `fedforge audit` is given."""
        allowed = [part for finding in self.allow_findings for part in ("--allow", finding)]
        return [*allowed, "--reason", self.allowed_because, "--by", self.allowed_by] if allowed else []


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
