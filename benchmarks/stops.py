"""From the order to stop, in the midst of training, to the event that says so and to the last process's end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

import httpx
import psutil

from benchmarks.figures import Results
from benchmarks.product import CommandFailedError, fedforge
from benchmarks.subject import REPOSITORY, Subject
from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.emitter import EventLogReader, read_events
from monitor.schema import ClientTrainStarted, RunStopped
from tests.support.monitor_process import MonitorProcess

_SITES = 3
_STOPPED = 130
"""Exit code of a run that was stopped."""
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.005
_TRAIN_FOR_EVER = ("--set", "learning.epochs=1000000", "--rounds", "2", "--no-bounds", "--no-report")


def measure(subject: Subject) -> Results:
    """The median and the worst for every engine; half of the stops come by Ctrl-C and half by the monitor."""
    options = [*subject.options(limit=subject.effort.subset_limit), "--clients", str(_SITES)]
    results: Results = {"stops_an_engine": subject.effort.stops}
    with subject.home_with_features() as home, MonitorProcess(home.root) as monitor, monitor.client() as client:
        fedforge("shards", "blood", str(home.root / "handed"), *options, home=home)
        command = ["run", "blood", *options, *_TRAIN_FOR_EVER, "--monitor", monitor.url]
        for name, engine in _ENGINES.items():
            with engine(home) as chosen:
                stops = [
                    _stop(f"{name}-{number}", [*command, *chosen], home, client, by_signal=number % 2 == 0)
                    for number in range(subject.effort.stops)
                ]
            for what, seconds in zip(("", "_until_no_process"), zip(*stops, strict=True), strict=True):
                results[f"stop_{name}{what}_seconds"] = median(seconds)
                results[f"stop_{name}{what}_worst_seconds"] = max(seconds)
    return results


def _engine(name: str) -> Callable[[Home], AbstractContextManager[list[str]]]:
    @contextmanager
    def options(home: Home) -> Iterator[list[str]]:
        yield ["--engine", name]

    return options


@contextmanager
def _standing(home: Home) -> Iterator[list[str]]:
    up = fedforge("federation", "up", "--nodes", str(_SITES), "--port", "0", home=home)
    try:
        yield ["--superlink", up["address"]]
    finally:
        fedforge("federation", "down", home=home)


_ENGINES: Mapping[str, Callable[[Home], AbstractContextManager[list[str]]]] = {
    "inprocess": _engine("inprocess"),
    "superlink": _engine("superlink"),
    "standing": _standing,
    "ray": _engine("ray"),
}
"""`standing` is a federation that is there before and after the run: its own processes stay."""


def _stop(run_id: str, command: list[str], home: Home, client: httpx.Client, *, by_signal: bool) -> tuple[float, float]:
    """Seconds to `run_stopped`, and until the command and whatever came of it are gone."""
    program = [sys.executable, "-m", "fedforge_runtime.cli", *command, "--home", str(home.root), "--run-id", run_id]
    process = psutil.Popen(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY
    )
    family: list[psutil.Process] = [process]
    try:
        log = home.run(run_id).events
        _wait_until(lambda: _trains(log) and client.get(f"/api/runs/{run_id}").is_success, run_id, process)
        family += process.children(recursive=True)
        ordered, started = utc_now(), monotonic()
        if by_signal:
            process.send_signal(signal.SIGINT)
        else:
            order = {"command": "stop", "given_by": "a benchmark"}
            client.post(f"/api/runs/{run_id}/commands", json=order).raise_for_status()
        while process.poll() is None or any(map(_is_at_work, family)):
            if monotonic() - started > _PATIENCE_SECONDS:
                raise CommandFailedError(f"{run_id} leaves processes: {family}.")
            time.sleep(_LOOK_SECONDS)
        seconds = monotonic() - started
        if process.returncode != _STOPPED:
            raise CommandFailedError(f"{run_id} ended with {process.returncode}.")
        stopped = next(event for event in read_events(log) if isinstance(event, RunStopped))
        return (stopped.ts - ordered).total_seconds(), seconds
    finally:
        for each in family:
            if each.is_running():
                each.kill()


def _is_at_work(process: psutil.Process) -> bool:
    """Whether it has not ended: for how long the system then keeps its number is no matter of ours."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _trains(log: Path) -> bool:
    return log.exists() and any(isinstance(event, ClientTrainStarted) for event in EventLogReader(log).read_new())


def _wait_until(condition: Callable[[], bool], run_id: str, process: psutil.Popen) -> None:
    deadline = monotonic() + _PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None or monotonic() > deadline:
            raise CommandFailedError(f"{run_id} does not train; it ended with {process.poll()}.")
        time.sleep(_LOOK_SECONDS)
