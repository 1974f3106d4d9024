"""A process like that of a run: it writes a log, sends it to a monitor that comes and goes, and may be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.telemetry.monitor_client import MonitorAddress
from fedforge_runtime.telemetry.outbox import Outbox
from fedforge_runtime.telemetry.reach import MonitorReach
from monitor.schema import NodeHeartbeat


def main(folder: Path, url: str, count: int) -> None:
    files = RunFolder(folder)
    reach = MonitorReach(MonitorAddress.parse(url), print, meanwhile="Its events wait in its log.")
    with (
        Emitter(files.events, run_id="emitting", role="client") as emitter,
        Outbox(files, reach, run_id="emitting"),
    ):
        for _ in range(count):
            emitter.emit(NodeHeartbeat, round_number=0, node_id="client-0")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
