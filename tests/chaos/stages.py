"""Where a trial's run takes place: which home, which federation, and what lies between its parts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fedforge_runtime.storage.home import Home
from tests.e2e.command import fedforge, kill_tree
from tests.support.bad_link import BadLink

_DISK_BYTES = 400_000_000
_SITE_DISK_BYTES = 40_000_000
_RIVAL = "rival"


@dataclass(frozen=True)
class Stage:
    """Args:
    home: of the run.
    options: of the command that say where the run's federation is.
    owner: of that federation, where it is there before the run.
    links: of its nodes, by site.
    node_homes: of its nodes, by site, where they have their own.
    shards: that its nodes serve.
    address: of its SuperLink.
    mark: of its processes.
    """

    home: Home
    options: list[str]
    owner: psutil.Process | None = None
    links: list[BadLink] = field(default_factory=list)
    node_homes: list[Home] = field(default_factory=list)
    shards: Path | None = None
    address: str = ""
    mark: str = ""

    def rival(self, site: int, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """A command that starts a second node for a site, without a fault between it and the SuperLink."""
        home = self._rival_home
        shutil.rmtree(home, ignore_errors=True)
        return node_command(self.address, site, home, self.shards), {**os.environ, **environment}

    def rival_is_there(self) -> bool:
        """Whether the last of these nodes got as far as the SuperLink."""
        logs = list((self._rival_home / "federation").glob("site-*.log"))
        return any("connected to" in log.read_text(errors="replace") for log in logs)

    @property
    def _rival_home(self) -> Path:
        return self.home.root.parent / _RIVAL


def node_command(address: str, site: int, home: Path, shards: Path | None) -> list[str]:
    """`fedforge node`, as a site starts it."""
    return [
        *(sys.executable, "-m", "fedforge_runtime.cli", "node", "--superlink", address, "--site", str(site)),
        *("--home", str(home), "--shards", str(shards)),
    ]


@contextmanager
def linked_stage(home: Home, folder: Path, mark: str, environment: Mapping[str, str]) -> Iterator[Stage]:
    """A SuperLink without nodes of its own, and three nodes with homes of their own that reach it through proxies."""
    with ExitStack() as stack:
        up = fedforge(
            *("federation", "up", "--nodes", "0", "--home", folder / "link", "--port", "0", "--json"),
            environment=environment,
        )
        if up.code != 0:
            raise RuntimeError(f"no federation: {up.errors}")
        stack.callback(fedforge, "federation", "down", "--home", folder / "link")
        address = up.json["address"]
        shards = home.shards
        links = [stack.enter_context(BadLink(int(address.rpartition(":")[2]))) for _ in range(3)]
        disks = [stack.enter_context(_mounted(folder / f"site-{site}", _SITE_DISK_BYTES)) for site in range(3)]
        homes = [Home(disk / "home") for disk in disks]
        for site, link in enumerate(links):
            process = subprocess.Popen(
                node_command(link.address, site, homes[site].root, shards),
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_end, process)
        owner = psutil.Process(up.json["process_id"])
        yield Stage(home, ["--superlink", address], owner, links, homes, shards, address, mark)


@contextmanager
def small_disk(home: Home, folder: Path) -> Iterator[Stage]:
    """A copy of what was prepared in a home, on a disk of its own that can be filled."""
    with _mounted(folder, _DISK_BYTES):
        shutil.copytree(home.assets, Home(folder / "home").assets, symlinks=True)
        yield Stage(Home(folder / "home"), ["--engine", "superlink"])


@contextmanager
def _mounted(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    kill_tree(process.pid)
    process.wait()
