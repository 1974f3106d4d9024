"""A node beside its run says in the run's log, while it waits for its next message, that it lives.

Of one elsewhere the run sees at the SuperLink whether it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from flwr.app import Message

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import ConfigError
from fedforge_runtime.federation.grid import node_name
from fedforge_runtime.federation.messages import CONFIG, ROUND
from fedforge_runtime.federation.packing import unpack
from fedforge_runtime.sites.node_data import events_log
from fedforge_runtime.sites.settings import PARTITION_ID, SiteSettings
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import NodeHeartbeat

_BEAT_SECONDS = 5.0


class Presence:
    """Heartbeats of one node in the run that it was last asked by; while it works, the ClientApp sends its own."""

    def __init__(self, node_config: Mapping[str, Any]) -> None:
        self._node_config = node_config
        self._emitter: Emitter | None = None
        self._round = 0
        self._next = 0.0
        self.run_id: int | None = None
        """Flower's number of that run; `None` when there is none."""

    def note(self, message: Message) -> None:
        """A message has come: its run is the one to be present in. One of another app's changes nothing."""
        content = unpack(message).content
        with suppress(ConfigError):
            settings = SiteSettings.of(content)
            if self.run_id != message.metadata.run_id:
                self.leave()
                log = events_log(self._node_config)
                if log:
                    log.parent.mkdir(parents=True, exist_ok=True)
                    self._emitter = Emitter(log, run_id=settings.run_id, role="client", attempt=settings.attempt)
                self.run_id = message.metadata.run_id
            record = content.config_records.get(CONFIG)
            if record and ROUND in record:
                self._round = int(record[ROUND])  # type: ignore[arg-type]
            self.postpone()

    def is_due(self) -> bool:
        return self._emitter is not None and monotonic() >= self._next

    def beat(self) -> None:
        """Say that the node is there and idle."""
        assert self._emitter is not None
        with suppress(OSError):  # a full disk shows at the next event that matters
            site = int(self._node_config[PARTITION_ID])
            self._emitter.emit(NodeHeartbeat, round_number=self._round, node_id=node_name(site), status="idle")
        self.postpone()

    def postpone(self) -> None:
        """The node is known to be there from now on for the usual time."""
        self._next = monotonic() + _BEAT_SECONDS

    def leave(self) -> None:
        """The run is over."""
        if self._emitter:
            self._emitter.close()
        self._emitter = self.run_id = None
