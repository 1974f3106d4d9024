"""What somebody asks for when he asks for a run."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from monitor.schema.base import Contract, Identifier

Scalar = str | int | float | bool | None
OverrideValue = Scalar | list[Scalar]


class RunRequest(Contract):
    """What somebody asked for: a phase, and the keys that differ from its profile."""

    phase: Identifier
    profile: Identifier = "cpu-safe"
    overrides: dict[str, OverrideValue] = Field(default_factory=dict)
    """Dotted configuration keys and their values, for example `{"federation.rounds": 3}`."""
    requested_by: str = Field(default="cli", max_length=200)
    requested_at: datetime | None = None
