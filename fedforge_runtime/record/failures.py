"""Which nodes failed in a run, and why, from its event log."""

from __future__ import annotations

from contextlib import suppress

from fedforge_runtime.storage.home import RunFolder
from monitor.schema import NodeError, event_adapter

_NODE_ERROR = b'"type":"node_error"'


def read_failures(folder: RunFolder) -> list[NodeError]:
    """The failures of all attempts in the order in which they happened, those of discarded rounds included."""
    if not folder.events.exists():
        return []
    failures = []
    with folder.events.open("rb") as stream:
        for line in stream:  # other lines are not parsed, for a log may be long
            if _NODE_ERROR in line and line.endswith(b"\n"):
                with suppress(ValueError):  # a line that a full disk cut short
                    event = event_adapter.validate_json(line)
                    if isinstance(event, NodeError):
                        failures.append(event)
    return failures
