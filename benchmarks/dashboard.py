"""The dashboard in a browser: frames, and how soon an event is on the screen, beside an empty page in the same run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from websockets.sync.client import connect

from benchmarks.figures import Results
from benchmarks.monitor_load import LoadProcess
from benchmarks.monitor_senders import LARGEST_BATCH
from benchmarks.product import CommandFailedError
from benchmarks.subject import REPOSITORY, Effort, Subject, fresh_home
from tests.support.monitor_process import MonitorProcess
from tests.support.patience import PATIENCE_SECONDS

_SENDERS_MODULE = "benchmarks.monitor_senders"
_READERS_MODULE = "benchmarks.monitor_readers"
_DASHBOARD = REPOSITORY / "dashboard"
_RATE = 500
_SITES = (100, 1000)
_FAST_RATE = 1500
"""Events a second while memory is looked at: an hour at 50 a second, in two minutes."""
_PAGES = 10
_PAIRS = 3
_AROUND_SECONDS = 40
"""Until a browser is there, with two pages, one after the other."""
_RUN = "on-a-screen"


def measure(subject: Subject) -> Results:
    """A real monitor that serves the built dashboard, senders of their own, and chromium without a screen.

    Raises:
        CommandFailedError: there is no Node, or the dashboard has not been built.
    """
    if shutil.which("node") is None or not (_DASHBOARD / "dist" / "index.html").is_file():
        raise CommandFailedError("the dashboard is not built; `make dashboard` builds it, which needs Node")
    effort = subject.effort
    results: Results = {"dashboard_watched_seconds": effort.screen_seconds, "dashboard_events": effort.screen_events}
    for sites in _SITES:
        results |= {f"dashboard_{sites}_{name}": value for name, value in _live(sites, effort.screen_seconds).items()}
    return results | _named(_opened(effort)) | _named(_heap(effort)) | _ingest(effort)


def _named(figures: Results) -> Results:
    return {f"dashboard_{name}": value for name, value in figures.items()}


def _live(sites: int, seconds: int) -> Results:
    events = 1 + _RATE * (2 * seconds + _AROUND_SECONDS)
    with (
        fresh_home() as home,
        MonitorProcess(home.root) as monitor,
        LoadProcess(
            _SENDERS_MODULE, "send_evenly", url=monitor.url, run_id=_RUN, events=events, batch=10, rate=_RATE,
            clients=sites,
        ) as sender,
    ):  # fmt: skip
        sender.wait_until_ready()
        sender.begin()
        with _screen("live", url=monitor.url, run_id=_RUN, seconds=seconds) as screen:
            return _figures(screen)


def _opened(effort: Effort) -> Results:
    """A run that is over, of as many events as a monitor is measured with."""
    with fresh_home() as home, MonitorProcess(home.root) as monitor:
        _send(monitor, effort.monitor_events)
        with _screen("open", url=monitor.url, run_id=_RUN, tab="metrics") as screen:
            return {"open_events": effort.monitor_events, **_figures(screen)}


def _heap(effort: Effort) -> Results:
    events = effort.screen_events
    early = events // 10
    with (
        fresh_home() as home,
        MonitorProcess(home.root) as monitor,
        LoadProcess(
            _SENDERS_MODULE, "send_evenly", url=monitor.url, run_id=_RUN, events=events, batch=50, rate=_FAST_RATE
        ) as sender,
    ):
        sender.wait_until_ready()
        with _screen("heap", url=monitor.url, run_id=_RUN) as screen:
            sender.begin()
            _wait_for(monitor, early)
            _say_line(screen)
            sender.result()
            _say_line(screen)
            return _figures(screen)


def _ingest(effort: Effort) -> Results:
    """One sender as fast as it can, without and with ten pages, one after the other several times.

    It takes long enough for the pages to look around again and again, as they do all day: that they all open at one
    moment is a part of it, and not the most.
    """
    alone, beside = [], []
    for _ in range(_PAIRS):
        with fresh_home() as home, MonitorProcess(home.root) as monitor:
            alone.append(_send(monitor, effort.monitor_events))
        with (
            fresh_home() as home,
            MonitorProcess(home.root) as monitor,
            LoadProcess(_READERS_MODULE, "visit", url=monitor.url, run_id=_RUN, pages=_PAGES) as pages,
        ):
            pages.wait_until_ready()  # they come as soon as the run is there
            beside.append(_send(monitor, effort.monitor_events))
            pages.check()
    return {
        "dashboard_pages": _PAGES,
        "dashboard_ingest_alone_events_per_second": median(alone),
        "dashboard_ingest_beside_events_per_second": median(beside),
        "dashboard_ingest_kept": median(beside) / median(alone),
    }


def _send(monitor: MonitorProcess, events: int) -> float:
    """Events a second."""
    with LoadProcess(
        _SENDERS_MODULE, "send_at_once", url=monitor.url, run_id=_RUN, events=events, batch=LARGEST_BATCH
    ) as sender:
        sender.wait_until_ready()
        sender.begin()
        figures = sender.result()
    seconds: float = figures["ended"] - figures["started"]
    return events / seconds


def _wait_for(monitor: MonitorProcess, events: int) -> None:
    """Return once so many events of the run are there; the stream says so, and nobody is asked again and again."""
    with monitor.client() as client:
        held = client.get(f"/api/runs/{_RUN}").raise_for_status().json()["last_seq"]
    address = f"{monitor.url.replace('http', 'ws', 1)}/api/stream?run_id={_RUN}&after={held}"
    with connect(address, open_timeout=PATIENCE_SECONDS, max_size=None, proxy=None) as stream:
        while held < events:
            frame = json.loads(stream.recv(timeout=PATIENCE_SECONDS))
            if frame["type"] == "events":
                held = frame["events"][-1]["seq"]


@contextmanager
def _screen(program: str, **arguments: Any) -> Iterator[subprocess.Popen[str]]:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            ["node", "bench/screen.mjs", program, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=_DASHBOARD,
        )
        try:
            yield process
        except (json.JSONDecodeError, BrokenPipeError) as error:
            process.wait()
            errors.seek(0)
            raise CommandFailedError(f"the browser gave no figures of {program}: {errors.read()[-2000:]}") from error
        finally:
            process.terminate()
            process.wait()


def _say_line(screen: subprocess.Popen[str]) -> None:
    assert screen.stdin is not None
    screen.stdin.write("\n")
    screen.stdin.flush()


def _figures(screen: subprocess.Popen[str]) -> Results:
    assert screen.stdout is not None
    figures: Results = json.loads(screen.stdout.readline())
    return figures
