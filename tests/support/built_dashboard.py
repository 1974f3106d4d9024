"""A dashboard as a build leaves it, small, and a monitor that is to find it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.monitor_process import plain_client
from tests.support.patience import PATIENCE_SECONDS

INDEX = '<!doctype html><title>FedForge</title><script type="module" src="/assets/app-1a2b3c4d.js"></script>'
SCRIPT = "export const rounds = [];\n" * 200
ICON = '<svg xmlns="http://www.w3.org/2000/svg"/>'


def write_dashboard(folder: Path) -> Path:
    """The page, a script and a style that are worth compressing, a font, an icon."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "favicon.svg").write_text(ICON)
    (folder / "assets" / "app-1a2b3c4d.js").write_text(SCRIPT)
    (folder / "assets" / "app-5e6f7a8b.css").write_text(".status { color: var(--status) }\n" * 200)
    (folder / "assets" / "inter-9c0d1e2f.woff2").write_bytes(bytes(range(256)) * 16)
    return folder


@contextmanager
def served_from(place: Path, **environment: str) -> Iterator[tuple[list[str], httpx.Client]]:
    """The monitor whose package is in a folder; what it says at its start, and who asks it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FEDFORGE_MONITOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "--home", str(place / "home"), "--port", "0"],
        cwd=place,
        env=inherited | {"PYTHONPATH": str(place)} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in range(2)]
        url = lines[0].split()[2].rstrip(",")
        with plain_client(url) as client:
            _wait_until_ready(client)
            yield lines, client
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            client.get("/api/ready").raise_for_status()
            return
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "the monitor does not answer"
            time.sleep(0.02)
