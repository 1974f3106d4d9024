"""`fedforge up` and `fedforge down`: the monitor and Dagster's processes, started and ended together."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import typer
from pydantic import TypeAdapter

from fedforge_pipelines.supervision import Part, end, start_in_order, supervise
from fedforge_runtime.commands.options import DebugOption, HomeOption
from fedforge_runtime.commands.output import run_guarded
from fedforge_runtime.engines.address import free_port, usable_port
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.processes.child import Child
from fedforge_runtime.processes.ownership import OwnedError, is_owned, owning
from fedforge_runtime.processes.stop_signal import StopSignal
from fedforge_runtime.storage.artifacts import read_json, write_json
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.trust import trust_of
from monitor.settings import NO_DASHBOARD

_LOOK_SECONDS = 0.2
_END_SECONDS = 90.0
_HOST = "127.0.0.1"
_INSTANCE = "dagster.yaml"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


class UpError(FedForgeError):
    """It cannot be started, or not be ended."""


@dataclass(frozen=True)
class State:
    """What is written down while it is up.

    Args:
        dashboard: whether the monitor serves one.
    """

    process_id: int
    monitor: str
    dagster: str
    dashboard: bool = False

    def show(self) -> None:
        dashboard = f"dashboard at {self.monitor}/" if self.dashboard else NO_DASHBOARD
        typer.echo(f"monitor at {self.monitor}\n{dashboard}\nDagster at {self.dagster}")


@app.callback()
def _root(debug: DebugOption = False) -> None:
    pass


@app.command()
def up(
    home: HomeOption = None,
    monitor_port: Annotated[int, typer.Option(min=0, max=65535, help="of the monitor; 0 takes a free one")] = 8400,
    dagster_port: Annotated[int, typer.Option(min=0, max=65535, help="of Dagster's pages; 0 takes a free one")] = 3000,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="of the monitor: a proxy on this machine passes requests on")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="return once everything answers; fedforge down ends it")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Serve monitor and Dagster until Ctrl-C."""
    chosen = Home.resolve(home).require_writable()
    folder = _folder(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    monitor_options = ["--behind-proxy"] if behind_proxy else []
    if detach:
        ports = ("--monitor-port", str(monitor_port), "--dagster-port", str(dagster_port))
        _detach(chosen, [*ports, *monitor_options])
        return
    try:
        with owning(_lock_file(chosen)):
            _state_file(chosen).unlink(missing_ok=True)  # of one that was killed: its process id is another's now
            free = _taken(monitor_port, "--monitor-port"), _taken(dagster_port, "--dagster-port")
            _serve(chosen, *free, monitor_options)
    except OwnedError as error:
        raise UpError(f"{chosen.root} is up already.", remedy="End it with: fedforge down") from error


@app.command()
def down(home: HomeOption = None, debug: DebugOption = False) -> None:
    """End what `fedforge up` has started."""
    chosen = Home.resolve(home)
    state = _read_state(chosen)
    if state is None:
        if is_owned(_lock_file(chosen)):
            raise UpError(f"{chosen.root} is being started, or is ending.", remedy="Try again in a moment.")
        raise UpError(f"nothing of {chosen.root} is up.", remedy="Start it with: fedforge up")
    with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        process = psutil.Process(state.process_id)
        if _read_state(chosen) == state:  # so that it is not the id of a later process
            process.terminate()
            try:
                process.wait(timeout=_END_SECONDS)
            except psutil.TimeoutExpired as error:
                raise UpError(f"process {state.process_id} has not ended within {_END_SECONDS:g} s.") from error
    typer.echo("ended")


def _serve(home: Home, monitor_port: int, dagster_port: int, monitor_options: Sequence[str]) -> None:
    stop = StopSignal()
    stop.hear_signals()
    state = State(os.getpid(), f"http://{_HOST}:{monitor_port}", f"http://{_HOST}:{dagster_port}")
    parts = _parts(home, state, monitor_options)
    try:
        if start_in_order(parts, stop):
            state = replace(state, dashboard=_answers(f"{state.monitor}/"))
            write_json(_state_file(home), vars(state))
            state.show()
            typer.echo(f"logs in {_folder(home)}; Ctrl-C ends it")
            supervise(parts, stop, typer.echo)
    finally:
        end(parts)
        _state_file(home).unlink(missing_ok=True)


def _parts(home: Home, state: State, monitor_options: Sequence[str]) -> list[Part]:
    """In the order in which they need each other; the monitor is ended last, so that it hears of every end."""
    dagster_home, code_port = _dagster_home(home), free_port()
    environment = {
        "FEDFORGE_HOME": str(home.root),
        "FEDFORGE_MONITOR": state.monitor,
        "FEDFORGE_DAGSTER": state.dagster,
        "DAGSTER_HOME": str(dagster_home),
    }
    location = {"grpc_server": {"host": _HOST, "port": code_port, "location_name": "fedforge"}}
    (dagster_home / "workspace.yaml").write_text(json.dumps({"load_from": [location]}))
    workspace = ("--workspace", str(dagster_home / "workspace.yaml"))
    scripts = Path(sys.executable).parent
    dagster, webserver, daemon = (str(scripts / name) for name in ("dagster", "dagster-webserver", "dagster-daemon"))
    _make_storage([dagster, "instance", "info"], environment)

    def log(name: str) -> Path:
        return _folder(home) / f"{name}.log"

    return [
        Part(
            "monitor",
            [sys.executable, "-m", "monitor", "--port", _port(state.monitor), *monitor_options],
            environment,
            log("monitor"),
            lambda: _answers(f"{state.monitor}/api/ready"),
        ),
        Part(
            "code server",
            [
                *(dagster, "api", "grpc", "--host", _HOST, "--port", str(code_port)),
                *("--module-name", "fedforge_pipelines.definitions", "--location-name", "fedforge"),
                "--use-python-environment-entry-point",
            ],
            environment,
            log("code-server"),
            lambda: _listens(code_port),
        ),
        Part(
            "webserver",
            [webserver, "--host", _HOST, "--port", _port(state.dagster), *workspace],
            environment,
            log("webserver"),
            lambda: _answers(f"{state.dagster}/server_info"),
        ),
        Part("daemon", [daemon, "run", *workspace], environment, log("daemon"), lambda: True),
    ]


def _dagster_home(home: Home) -> Path:
    package = Path(__file__).parent
    # In a wheel it is beside this file, and else in the checkout.
    source = next((each for each in (package / _INSTANCE, package.parent / _INSTANCE) if each.is_file()), None)
    if source is None:
        raise UpError(f"there is no {_INSTANCE} in {package} or its parent.", remedy="Install FedForge anew.")
    folder = home.root / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / _INSTANCE)
    return folder


def _make_storage(command: list[str], environment: dict[str, str]) -> None:
    """Dagster's tables, before several of its processes would make them at the same time."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(done.stderr.strip().splitlines()[-1:])
        raise UpError(f"Dagster cannot use {environment['DAGSTER_HOME']}: {words}")


def _detach(home: Home, options: Sequence[str]) -> None:
    if _read_state(home) is not None:
        raise UpError(f"{home.root} is up already.", remedy="End it with: fedforge down")
    log = _folder(home) / "up.log"
    log.unlink(missing_ok=True)
    process = Child([sys.executable, "-m", "fedforge_pipelines.up", "up", "--home", str(home.root), *options], log=log)
    while (state := _read_state(home)) is None:
        if process.poll() is not None:
            raise UpError(log.read_text(errors="replace").strip().removeprefix("error: "))
        time.sleep(_LOOK_SECONDS)
    state.show()
    typer.echo("fedforge down ends it")


def _folder(home: Home) -> Path:
    return home.root / "up"


def _state_file(home: Home) -> Path:
    return _folder(home) / "state.json"


def _lock_file(home: Home) -> Path:
    return _folder(home) / ".lock"


def _read_state(home: Home) -> State | None:
    """Of what is up; `None` where nobody owns it: then it has ended, whatever is written."""
    if is_owned(_lock_file(home)):
        with suppress(OSError, ValueError, TypeError):
            return TypeAdapter(State).validate_python(read_json(_state_file(home)))
    return None


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, verify=trust_of(url), timeout=2, trust_env=False).is_success
    return False


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex((_HOST, port)) == 0


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _taken(port: int, option: str) -> int:
    """A port that is free now."""
    try:
        return usable_port(_HOST, port)
    except OSError as error:
        raise UpError(
            f"cannot listen on port {port}",
            cause=error,
            remedy=f"Choose another with {option}; 0 takes a free one.",
        ) from error


def main() -> None:
    """An expected error is one line on standard error."""
    run_guarded(app)


if __name__ == "__main__":
    main()
