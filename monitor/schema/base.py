"""What every part of the contract is made of: fields of all events, and the bounds of their values."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1

Task = Literal["statistics", "train", "evaluate"]
Role = Literal["server", "client"]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Reason = Annotated[str, Field(min_length=1, max_length=2000)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite one; a truth value or a text is none."""


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


NO_TRUTH = BeforeValidator(_no_truth)
"""Of a whole number, after its bounds: a truth value is none."""
LARGEST = 2**53 - 1
"""The largest whole number that every reader keeps exactly, JavaScript included."""
LARGEST_EVENT_BYTES = 64 * 1024
"""Of an event as JSON; what is per site is an event per site, so that nothing is cut at a thousand of them."""


class Contract(BaseModel):
    """A frozen model that takes no unknown field and no number that is none."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True, allow_inf_nan=False
    )


class EventBase(Contract):
    """The fields of every event."""

    schema_version: Literal[1] = SCHEMA_VERSION
    event_id: UUID
    emitter_id: Identifier
    """The emitting process; `emitter_seq` counts within it."""
    emitter_seq: int = Field(ge=1, le=LARGEST)
    ts: AwareDatetime
    """When it happened, on the emitter's clock, UTC."""
    run_id: Identifier
    attempt: int = Field(default=1, ge=1, le=LARGEST)
    """1 for the first start of a run, one more for each resume."""
    round: int = Field(ge=0, le=LARGEST)
    """0 before the first round."""
    node_id: Identifier
    """`server`, `monitor` or `client-<partition id>`: the node that the event is about."""
    role: Role
    """Who emitted it."""
    latency_ms: Number | None = Field(default=None, ge=0)
    payload_bytes: int | None = Field(default=None, ge=0, le=LARGEST)
    metrics: dict[str, Number] = Field(default_factory=dict)
