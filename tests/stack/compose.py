"""One project of Compose, with ports, networks and volumes of its own."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedforge_runtime.engines.address import free_port

ROOT = Path(__file__).parents[2]
SITES = ("site-0", "site-1", "site-2")
PARTS = ("monitor", "dashboard", "superlink", *SITES, "dagster-code", "dagster-webserver", "dagster-daemon")
"""What stays; the others do their work once."""
_PREFIX = 28
"""Of each network: 13 containers, which is enough."""


class StackError(Exception):
    """The engine, or a command of it, does not do what is asked."""


@dataclass(frozen=True)
class Stack:
    """A project that was made by `free_stack`."""

    project: str
    environment: dict[str, str]
    overrides: tuple[Path, ...] = ()
    dashboard: str = field(init=False)
    monitor: str = field(init=False)
    dagster: str = field(init=False)

    def __post_init__(self) -> None:
        for name in ("dashboard", "monitor", "dagster"):
            port = self.environment[f"FEDFORGE_{name.upper()}_PORT"]
            object.__setattr__(self, name, f"http://127.0.0.1:{port}")

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose` of this project.

        Raises:
            StackError: it failed, and `check` is set.
        """
        files = [part for file in (ROOT / "docker-compose.yml", *self.overrides) for part in ("--file", str(file))]
        return run("docker", "compose", "--project-name", self.project, *files, *words, env=self._all(), check=check)

    def inside(self, service: str, script: str) -> subprocess.CompletedProcess[str]:
        """What a shell says in the container of a service, whatever its exit code."""
        return self.compose("exec", "--no-TTY", service, "bash", "-c", script, check=False)

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of the container of a service."""
        container_id = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        if not container_id:
            raise StackError(f"there is no container of {service}.")
        found: list[dict[str, Any]] = json.loads(run("docker", "inspect", container_id).stdout)
        return found[0]

    def address(self, service: str, network: str) -> str:
        """Where a container is in one of its networks."""
        address: str = self.container(service)["NetworkSettings"]["Networks"][f"{self.project}_{network}"]["IPAddress"]
        return address

    def token(self) -> str:
        """The operators', read as a person reads it."""
        return self.inside("monitor", "cat /secrets/operator-token").stdout.strip()

    def logs(self, folder: Path) -> None:
        """Write what every container has said, a file each."""
        folder.mkdir(parents=True, exist_ok=True)
        for service in self.compose("ps", "--all", "--format", "{{.Service}}", check=False).stdout.split():
            text = self.compose("logs", "--no-color", "--timestamps", service, check=False)
            (folder / f"{service}.log").write_text(text.stdout + text.stderr)

    def _all(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def run(*words: str, env: dict[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command's output.

    Raises:
        StackError: it failed, and `check` is set.
    """
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise StackError(f"{' '.join(words)} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-6000:]}")
    return done


def why_no_engine() -> str | None:
    """Why nothing can be tried here; `None` where it can."""
    try:
        for words in (("docker", "info"), ("docker", "compose", "version"), ("docker", "buildx", "version")):
            done = run(*words, check=False)
            if done.returncode != 0:
                return f"`{' '.join(words)}` says: {' '.join((done.stderr or done.stdout).split())[-200:]}"
    except FileNotFoundError:
        return "there is no docker here."
    return None


def free_stack(project: str, overrides: Sequence[Path] = (), **environment: str) -> Stack:
    """A project on ports and networks that nobody has now."""
    ports = {f"FEDFORGE_{name}_PORT": str(free_port()) for name in ("DASHBOARD", "MONITOR", "DAGSTER")}
    names = ("CONTROL", "SITE_0", "SITE_1", "SITE_2")
    subnets = {f"FEDFORGE_{name}_SUBNET": str(subnet) for name, subnet in zip(names, _free_subnets(), strict=False)}
    return Stack(project, {**ports, **subnets, **environment}, tuple(overrides))


def _free_subnets() -> Iterator[ipaddress.IPv4Network]:
    ids = run("docker", "network", "ls", "--quiet").stdout.split()
    taken = [
        ipaddress.ip_network(each["Subnet"])
        for network in json.loads(run("docker", "network", "inspect", *ids).stdout)
        for each in network["IPAM"]["Config"] or []
    ]
    for subnet in ipaddress.IPv4Network("172.29.0.0/16").subnets(new_prefix=_PREFIX):
        if not any(subnet.overlaps(each) for each in taken if each.version == 4):
            yield subnet
