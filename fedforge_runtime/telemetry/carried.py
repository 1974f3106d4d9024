"""Events that travel inside a site's answers, since a site has one connection, to its SuperLink.

A site keeps them until its answer goes, and the run checks each before it is appended to the run's log. What is lost
on the way, does not fit, or is dropped shows as a gap in `emitter_seq`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedforge_runtime.telemetry.emitter import EventSource
from monitor.schema import (
    LARGEST_EVENT_BYTES,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientTrainStarted,
    Event,
    SiteDescribed,
    event_adapter,
)

MOST_BYTES = LARGEST_EVENT_BYTES
"""Of all events in one answer, as lines."""
_OF_SITES = (ClientTrainStarted, ClientTrainCompleted, ClientEvaluated)
_OF_OWN_DATA = (*_OF_SITES, SiteDescribed)
_LONGEST_REASON = 500
_LARGEST_GAP = 10_000
"""More events than a site loses between two answers: who counts on further would have others miss what never was."""


class CarriedEvents(EventSource):
    """Keeps the events of one answer as lines, as many as fit."""

    def __init__(self, *, run_id: str, attempt: int) -> None:
        super().__init__(run_id=run_id, role="client", attempt=attempt)
        self._lines = b""

    def _append(self, line: bytes) -> None:
        if len(self._lines) + len(line) <= MOST_BYTES:
            self._lines += line

    def take(self) -> bytes:
        """Everything since the last call, one JSON object a line."""
        lines, self._lines = self._lines, b""
        return lines


@dataclass(frozen=True)
class Checked:
    """What became of the events of one answer."""

    events: list[Event]
    dropped: int = 0
    reason: str = ""
    """Why the first that was dropped was."""


@dataclass
class CarriedCheck:
    """Takes of what sites say only what each may say of itself, once and in its order.

    Args:
        run_id, attempt: of the run that asked.
        own_data: the sites bring their own, and say what they hold; else the run knows better.
    """

    run_id: str
    attempt: int
    own_data: bool = False
    _emitters: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)
    """Whose each emitter is, and its last `emitter_seq`."""

    def check(self, lines: object, *, node_id: str, round_number: int) -> Checked:
        """Of the answer of a node to a task of a round.

        Args:
            lines: what the answer holds in the place of events, whatever it is.
        """
        if not isinstance(lines, bytes):
            return Checked([], 1, "they are no lines")
        if len(lines) > MOST_BYTES:
            return Checked([], lines.count(b"\n") or 1, f"they have {len(lines):,} bytes, and {MOST_BYTES:,} may come")
        accepted: list[Event] = []
        reasons: list[str] = []
        for line in lines.splitlines():
            try:
                event = event_adapter.validate_json(line)
            except ValueError as error:
                reasons.append(f"a line is no event: {str(error).splitlines()[0]}")
                continue
            flaw = self._flaw(event, node_id, round_number)
            if flaw:
                reasons.append(flaw)
            else:
                self._emitters[event.emitter_id] = node_id, event.emitter_seq
                accepted.append(event)
        return Checked(accepted, len(reasons), reasons[0][:_LONGEST_REASON] if reasons else "")

    def _flaw(self, event: Event, node_id: str, round_number: int) -> str:
        if not isinstance(event, _OF_OWN_DATA if self.own_data else _OF_SITES):
            return f"{event.type} is not for a site to say"
        wanted: Mapping[str, object] = {
            "run_id": self.run_id,
            "attempt": self.attempt,
            "round": round_number,
            "node_id": node_id,
            "role": "client",
        }
        for name, value in wanted.items():
            if getattr(event, name) != value:
                return f"its {name} is {getattr(event, name)}, not {value}"
        if len(event.model_dump_json().encode()) > LARGEST_EVENT_BYTES:  # spelled out it may be longer than it came
            return f"{event.type} has more than {LARGEST_EVENT_BYTES:,} bytes"
        holder, last = self._emitters.get(event.emitter_id, (node_id, 0))
        if holder != node_id or not event.emitter_id.startswith("client-"):
            return f"its emitter_id {event.emitter_id} is somebody else's"
        if not last < event.emitter_seq <= last + _LARGEST_GAP:
            return f"its emitter_seq is {event.emitter_seq}, after {last}"
        return ""
