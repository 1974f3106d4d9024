"""A round over separate processes on this machine, ours beside Flower's own, and what a federation costs at rest."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.durations import round_seconds, startup_seconds
from benchmarks.figures import Results
from benchmarks.memory import memory_of
from benchmarks.product import FinishedRun, fedforge, run_federation
from benchmarks.subject import REPOSITORY, Subject
from fedforge_runtime.clock import monotonic, utc_now
from fedforge_runtime.engines.address import free_port
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.emitter import read_events

_NODES = 3
_STOCK_ROUNDS = 3
_IDLE_SECONDS = 60.0
_SETTLE_SECONDS = 70.0
"""After the last run a node asks less and less often for a minute."""
_READY_SECONDS = 60.0


def measure(subject: Subject) -> Results:
    """Three nodes with torch and transformers in their clients, on cached features."""
    options = [*subject.options(limit=subject.effort.dataset_limit), "--clients", str(_NODES)]
    rounds = min(subject.effort.rounds, 10)
    with subject.home_with_features() as home:
        fedforge("shards", "blood", str(home.root / "handed"), *options, home=home)
        inprocess = run_federation(*options, "--rounds", str(rounds), home=home)
        own = run_federation(*options, "--rounds", str(rounds), "--engine", "superlink", home=home)
        stock = _stock_run(subject, home)
        idle = _idle(home, subject)
    own_round, stock_round = round_seconds(own), round_seconds(stock)
    return {
        "superlink_round_seconds": own_round,
        "superlink_inprocess_round_seconds": round_seconds(inprocess),
        "superlink_startup_seconds": startup_seconds(own),
        "stock_flower_round_seconds": stock_round,
        "stock_flower_startup_seconds": startup_seconds(stock),
        "stock_flower_round_ratio": stock_round / own_round,
        "same_model_over_superlink": inprocess.model_after(rounds) == own.model_after(rounds),
        "same_model_over_stock_flower": own.model_after(_STOCK_ROUNDS) == stock.model_after(_STOCK_ROUNDS),
        **idle,
    }


def _stock_run(subject: Subject, home: Home) -> FinishedRun:
    """`flwr run flower_app` over Flower's own SuperLink and SuperNodes; launched before any of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedforge-benchmark-stock-")))
        launched, started = utc_now(), monotonic()
        stack.enter_context(_stock_federation(folder, home, link := free_port()))
        limit = subject.effort.dataset_limit or 0
        config = {
            "profile": "cpu-safe",
            "data": subject.data,
            "backbone": subject.backbone,
            "limit": limit,
            "clients": _NODES,
            "rounds": _STOCK_ROUNDS,
            "run-id": "stock",
            "set": f"partition.minimum_rows={2 if limit else 10}",
        }
        text = " ".join(f"{key}={value if isinstance(value, int) else repr(value)}" for key, value in config.items())
        (folder / "config.toml").write_text(
            f'[superlink]\ndefault = "stock"\n[superlink.stock]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
        )
        subprocess.run(
            [_script("flwr"), "run", str(REPOSITORY / "flower_app"), "stock", "--run-config", text, "--stream"],
            env=_environment(folder, home),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seconds = monotonic() - started
    run = RunFolder(home.runs / "stock")
    return FinishedRun(run, fedforge("show", "stock", home=home), read_events(run.events), launched, seconds)


@contextmanager
def _stock_federation(folder: Path, home: Home, link: int) -> Iterator[None]:
    """Flower's own commands, as its documentation has them."""
    with ExitStack() as stack:
        commands = [["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(link)]]
        for site in range(_NODES):
            commands.append(
                [
                    *("flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{link}"),
                    *("--host", "127.0.0.1", "--port", str(free_port())),
                    *("--node-config", f"partition-id={site} num-partitions={_NODES}"),
                ]
            )
        for number, command in enumerate(commands):
            log = stack.enter_context((folder / f"{number}.log").open("wb"))
            process = subprocess.Popen(
                [_script(command[0]), *command[1:]],
                env=_environment(folder, home),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_end_family, process)
            if number == 0:
                _wait_for(f"http://127.0.0.1:{link}/health")
        yield


def _idle(home: Home, subject: Subject) -> Results:
    """CPU and memory of a federation that has done a run and waits for the next."""
    options = [*subject.options(limit=subject.effort.dataset_limit), "--clients", str(_NODES)]
    up = fedforge("federation", "up", "--nodes", str(_NODES), "--port", "0", home=home)
    try:
        run_federation(*options, "--rounds", "1", "--superlink", up["address"], home=home)
        time.sleep(_SETTLE_SECONDS)
        owner = psutil.Process(up["process_id"])
        family = [owner, *owner.children(recursive=True)]
        before, started = _cpu_seconds(family), monotonic()
        time.sleep(_IDLE_SECONDS)
        percent = (_cpu_seconds(family) - before) / (monotonic() - started) * 100
        status = fedforge("federation", "status", home=home)
        sizes = [size[0] for process in family if (size := memory_of(process.pid))]
        return {
            "idle_federation_cpu_percent": percent,
            "idle_federation_memory_mb": sum(sizes) / 1e6,
            "idle_federation_processes": len(sizes),
            "idle_superlink_memory_mb": status["superlink"]["memory_mb"],
            "idle_node_memory_mb": max(node["memory_mb"] for node in status["nodes"]),
            "idle_owner_memory_mb": status["memory_mb"],
        }
    finally:
        fedforge("federation", "down", home=home)


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _environment(folder: Path, home: Home) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PATH": path,
        "FLWR_HOME": str(folder),
        "FEDFORGE_HOME": str(home.root),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }


def _wait_for(url: str) -> None:
    deadline = monotonic() + _READY_SECONDS
    while monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.05)
    raise TimeoutError(url)


def _end_family(process: subprocess.Popen[bytes]) -> None:
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for process_id in family:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(process_id).kill()
    process.wait()
