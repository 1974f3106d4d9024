"""What can be chosen for a phase in Dagster's launchpad."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from typing import Any, Optional

import dagster as dg
from pydantic import Field

from fedforge_runtime.config import PROFILES
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.runs.attempts import request_options
from fedforge_runtime.runs.offer import ClaimantDefaults


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
