"""The parts of `fedforge up` while they are up."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest

from fedforge_pipelines import supervision
from fedforge_pipelines.supervision import Part, end, start_in_order, supervise
from fedforge_runtime.processes.stop_signal import StopSignal
from tests.support.patience import PATIENCE_SECONDS


def test_a_part_that_is_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_SOON_SECONDS", 0.0)
    waiting = [sys.executable, "-c", "import time; time.sleep(3600)"]
    part, stop = Part("waiting part", waiting, {}, tmp_path / "log", lambda: True), StopSignal()
    said: SimpleQueue[str] = SimpleQueue()
    assert start_in_order([part], stop)
    first = psutil.Process(part.process_id)
    watching = threading.Thread(target=supervise, args=([part], stop, said.put))
    watching.start()
    try:
        first.kill()

        assert "the waiting part has ended and is started again" in said.get(timeout=PATIENCE_SECONDS)
    finally:
        stop.set()
        watching.join()
        second = psutil.Process(part.process_id)
        end([part])
    assert second != first
    assert not second.is_running()
