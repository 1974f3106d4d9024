"""An event as the monitor keeps it and gives it to readers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in its run.

    Args:
        seq: 1, 2, 3 … within the run.
        deed: this monitor did it; see `monitor.schema.deeds`.
        body: the event as its emitter sent it, as JSON.
    """

    run_id: str
    seq: int
    received_at: datetime
    deed: bool
    body: str

    def to_json(self) -> str:
        """As REST and WebSocket show it: `RecordedEvent`."""
        deed = "true" if self.deed else "false"
        return f'{{"seq":{self.seq},"received_at":"{self.received_at.isoformat()}","deed":{deed},"event":{self.body}}}'
