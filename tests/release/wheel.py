"""A wheel as its users have it: built of a clean clone, installed in a bare environment, used outside any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.command import wait_until
from tests.release.checking import ROOT, require, run
from tests.support.monitor_process import is_ready, plain_client
from tests.support.patience import PATIENCE_SECONDS

OUTSIDE = {"PYTHONPATH": ""}
NEWEST = ("torch", "transformers", "flwr", "dagster", "fastapi")
"""Of which the versions are told that pip has chosen."""
SMALL = {"dataset.source": "phantom", "dataset.limit": 120, "backbone.name": "untrained", "federation.rounds": 1}
REQUEST = {"run_id": "asked", "request": {"phase": "blood", "overrides": {**SMALL, "partition.clients": 2}}}
ASSETS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name assetNodes { id } } } } }"


def try_wheel() -> str:
    """Build it, install it, and use what it has."""
    with tempfile.TemporaryDirectory(prefix="fedforge-wheel-") as folder:
        place = Path(folder)
        run("wheel", "git", "clone", "--quiet", ROOT, place / "clone")
        run("wheel", ROOT / ".venv/bin/python", "-m", "build", "--outdir", place / "dist", place / "clone")
        (wheel,) = (place / "dist").glob("*.whl")
        run("wheel", sys.executable, "-m", "venv", place / "venv")
        used = place / "used"
        used.mkdir()
        pip = (place / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-compile")
        run("wheel", *pip, wheel, folder=used, environment=OUTSIDE)  # pip takes a checkout around it for installed
        shown = [f"{wheel.name} of {wheel.stat().st_size / 1e6:.1f} MB", *_use(place / "venv/bin", used)]
        return "; ".join(shown)


def _use(scripts: Path, folder: Path) -> list[str]:
    """What each command shows, in an empty folder."""
    environment = OUTSIDE | {"FEDFORGE_HOME": str(folder / "home")}

    def fedforge(*words: object) -> str:
        return run("wheel", scripts / "fedforge", *words, folder=folder, environment=environment, output=True)

    demo = json.loads(fedforge("demo", "--json"))
    require(demo["state"] == "completed", f"the demo is {demo['state']}")
    validate = (scripts / "dagster", "definitions", "validate", "-m", "fedforge_pipelines.definitions")
    run("wheel", *validate, folder=folder, environment=environment)
    fedforge("up", "--detach", "--monitor-port", "0", "--dagster-port", "0")
    try:
        state = json.loads((folder / "home" / "up" / "state.json").read_text())
        with plain_client(state["monitor"]) as monitor, plain_client(state["dagster"]) as dagster:
            assets = _assets(dagster)
            require("<div id=" in monitor.get("/").text, "the monitor of the wheel does not serve the dashboard")
    finally:
        fedforge("down")
    with _monitor(scripts, folder, environment) as monitor:
        monitor.post("/api/runs", json=REQUEST).raise_for_status()
        fedforge("agent", "--once", "--monitor", monitor.base_url)
        wait_until(lambda: monitor.get("/api/runs/asked").json()["state"] == "completed", "the end of the request")
    say = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {NEWEST!r}), sep=', ')"
    versions = run("wheel", scripts / "python", "-c", say, folder=folder, environment=environment, output=True).strip()
    done = f"demo, up with dashboard and {assets} Dagster assets, a request that an agent carried out"
    return [done, f"newest packages: {versions}"]


def _assets(dagster: httpx.Client) -> int:
    answer = dagster.post("/graphql", json={"query": ASSETS}).json()["data"]["repositoriesOrError"]["nodes"]
    count = sum(len(each["assetNodes"]) for each in answer)
    require(count > 0, "Dagster has no assets")
    return count


@contextmanager
def _monitor(scripts: Path, folder: Path, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A monitor of the wheel, alone."""
    process = subprocess.Popen(
        [str(scripts / "fedforge"), "monitor", "--port", "0"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        require(line.startswith("monitor at http://"), f"the monitor said {line!r}")
        with plain_client(line.split()[2].rstrip(",")) as client:
            wait_until(lambda: is_ready(client), "a monitor that answers")
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
