"""The files of the Compose stack, without an engine: what containers are confined to, and what is the same twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.pages import HEADERS

ROOT = Path(__file__).parents[2]
ONE_SHOT = {"setup", "dagster-setup", "demo"}
SITES = {"site-0", "site-1", "site-2"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_the_dockerfile_is_in_order() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_takes_the_file(tmp_path: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("there is no docker compose here")
    folders = {f"FEDFORGE_SITE_{site}_DATA": str(tmp_path) for site in range(3)}
    for words in ((), ("--file", "docker/own-data.yaml")):
        command = [
            "docker",
            "compose",
            "--file",
            "docker-compose.yml",
            *words,
            "--profile",
            "demo",
            "config",
            "--quiet",
        ]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **folders}, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_every_container_is_confined(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"], name
        assert "mem_limit" in service, name
        assert "privileged" not in service, name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name


def test_nothing_is_open_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_a_site_has_its_own_network_and_volumes_alone(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    for site in SITES:
        assert services[site]["networks"] == [site]
        assert compose["networks"][site]["internal"]
        assert services[site]["volumes"] == [
            f"secrets-{site}:/secrets:ro",
            f"rows-{site}:/shards:ro",
            f"{site}:/var/lib/fedforge",
        ]
        members = {name for name, service in services.items() if site in service.get("networks", [])}
        assert members == {site, "superlink"}
    holders = {name for name, service in services.items() if "secrets-authority" in str(service.get("volumes"))}
    assert holders == {"setup"}


def test_every_health_check_starts_no_python(services: dict[str, dict[str, Any]]) -> None:
    for name in services.keys() - ONE_SHOT - {"dagster-daemon"}:
        check = services[name]["healthcheck"]
        assert check["interval"] == "30s"
        assert not re.search("python|fedforge |dagster ", " ".join(check["test"])), name


def test_nginx_says_of_pages_what_the_monitor_says() -> None:
    text = (ROOT / "docker" / "nginx.conf").read_text()
    said = {name: value.strip('"') for name, value in re.findall(r"add_header (\S+) (\"[^\"]*\"|\S+) always;", text)}
    assert said == {name: value for name, value in HEADERS.items() if name != "Cache-Control"}


def test_every_variable_of_the_stack_is_in_the_example() -> None:
    used: set[str] = set()
    for file in ("docker-compose.yml", "docker/own-data.yaml"):
        used |= set(re.findall(r"\$\{(FEDFORGE_\w+)", (ROOT / file).read_text()))
    shown = set(re.findall(r"^#?(FEDFORGE_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used == shown
