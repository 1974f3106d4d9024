"""What is packed: the dashboard, where it was built, and nothing in its place where it was not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.built_dashboard import INDEX, SCRIPT, served_from, write_dashboard
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
OFFLINE = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is packed, without a built dashboard."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("monitor", "fedforge_runtime", "fedforge_pipelines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def run(*words: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wheel_of(source: Path) -> Path:
    run("-m", "pip", "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", "wheels", ".", folder=source)
    (wheel,) = (source / "wheels").iterdir()
    return wheel


def install(wheel: Path, place: Path) -> Path:
    run("-m", "pip", "install", *OFFLINE, "--no-compile", "--target", str(place), str(wheel), folder=wheel.parent)
    return place


def packed(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if "static" in name or "dashboard" in name}


def test_a_wheel_of_a_checkout_with_a_built_dashboard_serves_it(checkout: Path, tmp_path: Path) -> None:
    built = write_dashboard(checkout / "dashboard" / "dist")
    left = checkout / "build" / "lib" / "monitor" / "static" / "assets" / "app-of-yesterday.js"
    left.parent.mkdir(parents=True)
    left.touch()
    files = {f"monitor/static/{file.relative_to(built)}" for file in built.rglob("*") if file.is_file()}

    wheel = wheel_of(checkout)

    assert packed(wheel) == files
    assert not (checkout / "monitor" / "static").exists()
    with served_from(install(wheel, tmp_path / "installed")) as (lines, client):
        assert lines[1].startswith("dashboard at ")
        assert client.get("/runs/blood.v2").text == INDEX
        assert client.get("/assets/app-1a2b3c4d.js").text == SCRIPT


def test_a_wheel_of_the_packed_sources_has_it_too(checkout: Path, tmp_path: Path) -> None:
    write_dashboard(checkout / "dashboard" / "dist")
    run("-c", SDIST, str(tmp_path / "sdist"), folder=checkout)
    (archive,) = (tmp_path / "sdist").glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path / "sources", filter="data")
    (unpacked,) = (tmp_path / "sources").iterdir()

    assert {"monitor/static/index.html", "monitor/static/favicon.svg"} <= packed(wheel_of(unpacked))


def test_a_wheel_without_a_dashboard_works_and_says_so(checkout: Path, tmp_path: Path) -> None:
    wheel = wheel_of(checkout)

    assert packed(wheel) == set()
    with served_from(install(wheel, tmp_path / "installed")) as (lines, client):
        assert lines[1].startswith("no dashboard: ")
        assert "no dashboard" in client.get("/").text
        assert client.get("/api/runs").is_success


def test_a_wheel_says_which_commit_it_is_of_and_whether_it_was_changed(checkout: Path, tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(["git", *who, *words], cwd=checkout, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit_of(place: str) -> str:
        installed = install(wheel_of(checkout), tmp_path / place)
        say = "from fedforge_runtime.federation.provenance import git_commit; print(git_commit())"
        asked = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); {say}"]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
        shutil.rmtree(checkout / "wheels")
        return done.stdout.strip()

    assert commit_of("of-no-checkout") == "None"
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "as it is")
    commit = git("rev-parse", "HEAD")
    assert commit_of("clean") == commit
    (checkout / "fedforge_runtime" / "clock.py").open("a").write("\n")
    assert commit_of("changed") == f"{commit}-dirty"
