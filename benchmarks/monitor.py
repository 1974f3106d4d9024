"""A monitor under load: how fast it takes events in, how soon readers have them, how fast it gives them again."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing

import psutil

from benchmarks.figures import Results
from benchmarks.monitor_load import LoadProcess
from benchmarks.monitor_readers import StalledReader
from benchmarks.monitor_senders import LARGEST_BATCH
from benchmarks.subject import Subject, fresh_home
from fedforge_runtime.clock import monotonic
from tests.support.monitor_process import MonitorProcess

_SENDERS_MODULE = "benchmarks.monitor_senders"
_READERS_MODULE = "benchmarks.monitor_readers"
_SENDERS = 4
_READERS = 20
_RATE = 500
_EVEN_BATCH = 10
_EARLY = 0.1
"""Part of the soak after which memory is looked at first: a minute of ten."""
_SAMPLE_SECONDS = 1.0
_MEGABYTE = 1e6
_ONE, _SOAKED = "one", "soaked"


def measure(subject: Subject) -> Results:
    """A real monitor on this machine's loopback and disk, everybody else in processes of their own."""
    events = subject.effort.monitor_events
    return {
        "monitor_events": events,
        **_writer_alone(events),
        **_taking_in_and_giving_again(events),
        **_soak(subject.effort.monitor_soak_seconds),
    }


def _writer_alone(events: int) -> Results:
    with LoadProcess(_SENDERS_MODULE, "write", events=events, batch=LARGEST_BATCH) as writer:
        writer.wait_until_ready()
        writer.begin()
        figures = writer.result()
    return {
        "monitor_writer_events_per_second": figures["events_per_second"],
        "monitor_disk_sync_ms": figures["disk_sync_ms"],
    }


def _taking_in_and_giving_again(events: int) -> Results:
    """One sender, then several at once, each with a run of its own; the first of these runs is then read."""
    with fresh_home() as home, MonitorProcess(home.root) as monitor:
        one, sent = _events_per_second(monitor, events, [_ONE])
        several, _ = _events_per_second(monitor, events // _SENDERS, [f"several-{each}" for each in range(_SENDERS)])
        with LoadProcess(_READERS_MODULE, "replay", url=monitor.url, run_id=_ONE, events=events) as reader:
            reader.wait_until_ready()
            reader.begin()
            figures = reader.result()
        with LoadProcess(_READERS_MODULE, "look", url=monitor.url, run_id=_ONE, events=events) as reader:
            reader.wait_until_ready()
            reader.begin()
            looks = reader.result()
    results: Results = {
        **{f"monitor_{name}": value for name, value in looks.items()},
        "monitor_events_per_second": one,
        "monitor_several_senders_events_per_second": several,
        "monitor_several_senders": _SENDERS,
    }
    for way in ("stream", "pages", "export"):
        _check_same(sent, figures[f"{way}_seen"])
        results[f"monitor_{way}_replay_seconds"] = figures[f"{way}_seconds"]
        results[f"monitor_{way}_replay_events_per_second"] = events / figures[f"{way}_seconds"]
    return results


def _events_per_second(monitor: MonitorProcess, events: int, runs: list[str]) -> tuple[float, str]:
    """From the first request to the last answer, and what the first sender has sent."""
    with ExitStack() as stack:
        senders = [
            stack.enter_context(
                LoadProcess(
                    _SENDERS_MODULE, "send_at_once", url=monitor.url, run_id=run_id, events=events, batch=LARGEST_BATCH
                )
            )
            for run_id in runs
        ]
        for sender in senders:
            sender.wait_until_ready()
        for sender in senders:
            sender.begin()
        figures = [sender.result() for sender in senders]
    seconds = max(each["ended"] for each in figures) - min(each["started"] for each in figures)
    return events * len(runs) / seconds, figures[0]["sent"]


def _soak(seconds: int) -> Results:
    """One run at an even pace, many readers who keep up and one who does not."""
    events = 1 + _RATE * seconds
    with fresh_home() as home, MonitorProcess(home.root) as monitor:
        with ExitStack() as stack:
            where: dict[str, str | float] = {"url": monitor.url, "run_id": _SOAKED, "events": events}
            sender = stack.enter_context(
                LoadProcess(_SENDERS_MODULE, "send_evenly", **where, batch=_EVEN_BATCH, rate=_RATE)
            )
            sender.wait_until_ready()
            readers = stack.enter_context(LoadProcess(_READERS_MODULE, "follow", **where, sockets=_READERS))
            readers.wait_until_ready()
            watch = stack.enter_context(closing(_Watch(monitor)))
            sender.begin()
            while not sender.has_ended:
                readers.check()
                watch.sample()
                time.sleep(_SAMPLE_SECONDS)
            sending, reading = sender.result(), readers.result()
        monitor.end()
        database_bytes = monitor.database.stat().st_size
    _check_same(sending["sent"], reading["seen"])
    return {
        "monitor_soak_seconds": seconds,
        "monitor_soak_readers": _READERS,
        "monitor_soak_events_per_second": sending["events_per_second"],
        "monitor_soak_largest_batch": sending["largest_batch"],
        "monitor_latency_p50_ms": reading["p50_ms"],
        "monitor_latency_p99_ms": reading["p99_ms"],
        "monitor_latency_largest_ms": reading["largest_ms"],
        "monitor_acknowledged_p50_ms": sending["acknowledged_p50_ms"],
        "monitor_acknowledged_p99_ms": sending["acknowledged_p99_ms"],
        **watch.results(seconds),
        "monitor_database_bytes_an_event": database_bytes / events,
    }


class _Watch:
    """Looks at a monitor's process from outside, and has one reader stalled all the time."""

    def __init__(self, monitor: MonitorProcess) -> None:
        self._process = psutil.Process(monitor.pid)
        self._url = monitor.url
        self._log = monitor.database.with_name(f"{monitor.database.name}-wal")
        self._memory: list[tuple[float, int]] = []
        self._held_seconds: list[float] = []
        self._largest_log = 0
        self._stalled = self._stall()
        self._started = monotonic()
        self._busy_before = self._busy_after = self._busy_seconds()

    def sample(self) -> None:
        self._memory.append((monotonic() - self._started, self._process.memory_info().rss))
        self._busy_after = self._busy_seconds()
        self._largest_log = max(self._largest_log, self._log.stat().st_size)
        if not self._stalled.is_held:
            self._held_seconds.append(monotonic() - self._stalled.connected_at)
            self._stalled.close()
            self._stalled = self._stall()

    def close(self) -> None:
        self._stalled.close()

    def _stall(self) -> StalledReader:
        return StalledReader(self._process, self._url, _SOAKED)

    def _busy_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def results(self, seconds: int) -> Results:
        early = next(size for moment, size in self._memory if moment >= _EARLY * seconds)
        return {
            "monitor_memory_early_mb": early / _MEGABYTE,
            "monitor_memory_end_mb": self._memory[-1][1] / _MEGABYTE,
            "monitor_memory_largest_mb": max(size for _, size in self._memory) / _MEGABYTE,
            "monitor_soak_cpu_percent": (self._busy_after - self._busy_before) / self._memory[-1][0] * 100,
            "monitor_write_ahead_log_largest_mb": self._largest_log / _MEGABYTE,
            "monitor_stalled_readers_let_go": len(self._held_seconds),
            "monitor_stalled_reader_longest_seconds": max(self._held_seconds, default=None),
        }


def _check_same(sent: str, received: str) -> None:
    if sent != received:
        raise AssertionError(f"the events received ({received}) are not those sent ({sent})")
