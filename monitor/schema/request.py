"""What somebody asks for when he asks for a run."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from monitor.schema.base import Contract


class RunRequest(Contract):
    """What somebody asked for: a phase, and the keys that differ from its profile."""

    phase: Literal["blood", "derma", "path"]
    profile: Literal["cpu-safe", "tuned"] = "cpu-safe"
    overrides: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Dotted configuration keys and their values, for example `{"federation.rounds": 3}`."""
    requested_by: str = Field(default="cli", max_length=200)
    requested_at: datetime | None = None
