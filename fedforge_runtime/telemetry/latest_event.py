"""What a run said last, in the words of the monitor."""

from __future__ import annotations

import json
import os
from pathlib import Path

from monitor.schema import LARGEST_EVENT_BYTES, sentence

_READ_BYTES = 4 * LARGEST_EVENT_BYTES
_HEARTBEAT = "node_heartbeat"


def latest_sentence(events: Path) -> str | None:
    """The sentence of the last line of a log that is more than a heartbeat; `None` where there is none near its end."""
    try:
        with events.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _READ_BYTES))
            lines = log.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            event = json.loads(line)
            if event["type"] != _HEARTBEAT:
                return sentence(event)
        except (ValueError, KeyError, TypeError):
            continue  # half a line
    return None
