"""How far a pass over all images is, told to whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a pass is; `seconds_left` is known once a few chunks are done, and corrected from there on."""

    what: str
    """What is computed, in the plural: `features`."""
    rows_done: int
    rows_total: int
    bytes_total: int
    """What the result occupies on disk."""
    seconds_left: float | None
