"""Those who send events to a monitor, and the monitor's writer with nobody before it; see `LoadProcess`."""

from __future__ import annotations

import os
import time
from array import array
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import numpy as np

from benchmarks.figures import Results
from benchmarks.monitor_events import EventSource, batch_of
from benchmarks.monitor_load import run_program, wait_to_begin
from benchmarks.subject import CLIENTS, fresh_home
from fedforge_runtime.clock import monotonic, utc_now
from monitor.database import Database
from monitor.recording import Incoming, record_events
from monitor.settings import Settings
from monitor.writer import Writer

_TIMEOUT_SECONDS = 60.0
_JSON = {"Content-Type": "application/json"}
LARGEST_BATCH = 500
"""Events of one request, as an outbox sends them."""
_PAGE_BYTES = 4096
_SYNCS = 50


def send_at_once(*, url: str, run_id: str, events: int, batch: int) -> Results:
    """Send as fast as the monitor acknowledges; the events are made before the clock starts."""
    source = EventSource(run_id)
    batches = [source.take(batch) for _ in range(events // batch)]
    bodies = [batch_of(part) for part in batches]
    with _client(url) as client:
        client.get("/api/health").raise_for_status()
        wait_to_begin()
        started = monotonic()
        answers = [client.post("/api/events", content=body, headers=_JSON) for body in bodies]
        ended = monotonic()
    for answer in answers:
        _check_accepted(answer, batch)
    return {"started": started, "ended": ended, "sent": source.taken.name()}


def send_evenly(*, url: str, run_id: str, events: int, batch: int, rate: float, clients: int = CLIENTS) -> Results:
    """Send `rate` events a second, a small batch at a time; before it begins, the run's first event is there.

    What has become due while the monitor took its time goes into the next batch, as it does in an outbox.
    """
    source = EventSource(run_id, clients)
    milliseconds = array("d")
    largest = 0
    with _client(url) as client:
        _check_accepted(client.post("/api/events", content=batch_of(source.take(1)), headers=_JSON), 1)
        wait_to_begin()
        started = monotonic()
        while (left := events - source.taken.length) > 0:
            time.sleep(max(started + (source.taken.length - 1 + batch) / rate - monotonic(), 0.0))
            due = 1 + int((monotonic() - started) * rate) - source.taken.length
            part = source.take(min(max(due, batch), left, LARGEST_BATCH))
            sent = monotonic()
            answer = client.post("/api/events", content=batch_of(part), headers=_JSON)
            milliseconds.append((monotonic() - sent) * 1000)
            _check_accepted(answer, len(part))
            largest = max(largest, len(part))
        seconds = monotonic() - started
    return {
        "events_per_second": (events - 1) / seconds,
        "largest_batch": largest,
        "sent": source.taken.name(),
        "acknowledged_p50_ms": float(np.percentile(milliseconds, 50)),
        "acknowledged_p99_ms": float(np.percentile(milliseconds, 99)),
    }


def write(*, events: int, batch: int) -> Results:
    """Have the monitor's writer alone record events, one transaction a batch, in a database of its own."""
    source = EventSource("written")
    batches = [
        [Incoming(event, event.model_dump_json()) for event in source.take(batch)] for _ in range(events // batch)
    ]
    with fresh_home() as home:
        database = Database(Settings(home.root).database)
        writer = Writer(database, lambda stored: None)
        try:
            wait_to_begin()
            started = monotonic()
            for part in batches:
                writer.submit(partial(record_events, incoming=part, now=utc_now())).result()
            seconds = monotonic() - started
        finally:
            writer.close()
            database.close()
        return {"events_per_second": events / seconds, "disk_sync_ms": _sync_milliseconds(home.root)}


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)


def _check_accepted(answer: httpx.Response, events: int) -> None:
    if not answer.is_success or answer.content.count(b'"outcome":"accepted"') != events:
        raise AssertionError(f"not every event was accepted: {answer.status_code} {answer.text[:500]}")


def _sync_milliseconds(folder: Path) -> float:
    """Until a page more of a file is on the disk, the median of several."""
    milliseconds = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            started = monotonic()
            file.write(bytes(_PAGE_BYTES))
            os.fsync(file.fileno())
            milliseconds.append((monotonic() - started) * 1000)
    return median(milliseconds)


if __name__ == "__main__":
    run_program({"send_at_once": send_at_once, "send_evenly": send_evenly, "write": write})
