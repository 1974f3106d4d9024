"""What is packed: the dashboard, built where that is possible, Dagster's files, and the commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.built_dashboard import INDEX, SCRIPT, served_from, write_dashboard
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
OF_DAGSTER = ("dagster.yaml", "workspace.yaml")
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
OFFLINE = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is packed, without a built dashboard."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in (
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        ".gitignore",
        *OF_DAGSTER,
    ):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("monitor", "fedforge_runtime", "fedforge_pipelines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def run(*words: str, folder: Path, **environment: str) -> str:
    """What Python said."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


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


def pages_that_npm_makes(checkout: Path) -> None:
    """Sources of a dashboard that need nothing but Node."""
    dashboard = checkout / "dashboard"
    dashboard.mkdir()
    shutil.copyfile(ROOT / "dashboard" / "engines.cjs", dashboard / "engines.cjs")
    (dashboard / "page.cjs").write_text(
        "const fs = require('fs'); fs.mkdirSync('dist'); fs.writeFileSync('dist/index.html', 'built by npm')"
    )
    package = {"name": "d", "version": "0.0.0", "engines": {"node": ">=18"}}
    (dashboard / "package.json").write_text(json.dumps(package | {"scripts": {"build": "node page.cjs"}}))
    lock = {"name": "d", "version": "0.0.0", "lockfileVersion": 3, "packages": {"": package}}
    (dashboard / "package-lock.json").write_text(json.dumps(lock))


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node with npm here")
def test_packed_sources_have_what_a_wheel_of_the_checkout_has(checkout: Path, tmp_path: Path) -> None:
    pages_that_npm_makes(checkout)
    commit = committed(checkout)
    run("-c", SDIST, str(tmp_path / "sdist"), folder=checkout)
    (archive,) = (tmp_path / "sdist").glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path / "sources", filter="data")
    (unpacked,) = (tmp_path / "sources").iterdir()

    with zipfile.ZipFile(wheel_of(unpacked)) as wheel:
        assert wheel.read("monitor/static/index.html") == b"built by npm"
        assert wheel.read("fedforge_runtime/COMMIT").decode().strip() == commit
        for name in OF_DAGSTER:
            assert wheel.read(f"fedforge_pipelines/{name}") == (ROOT / name).read_bytes()


def test_where_there_is_no_node_a_build_says_that_the_dashboard_is_left_out(checkout: Path, tmp_path: Path) -> None:
    pages_that_npm_makes(checkout)

    said = run("-c", WHEEL, str(tmp_path / "wheel"), folder=checkout, PATH=str(tmp_path))

    assert "the dashboard cannot be built: it needs Node with npm, and there is none." in said
    (wheel,) = (tmp_path / "wheel").iterdir()
    assert packed(wheel) == set()


def test_a_wheel_without_a_dashboard_works_and_says_so(checkout: Path, tmp_path: Path) -> None:
    wheel = wheel_of(checkout)

    assert packed(wheel) == set()
    with served_from(install(wheel, tmp_path / "installed")) as (lines, client):
        assert lines[1].startswith("no dashboard: ")
        assert "no dashboard" in client.get("/").text
        assert client.get("/api/runs").is_success


def committed(checkout: Path) -> str:
    """Its one commit."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "--message", "as it is")):
        subprocess.run(["git", *words], cwd=checkout, capture_output=True, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.thorough
def test_a_wheel_says_which_commit_it_is_of_and_whether_it_was_changed(checkout: Path, tmp_path: Path) -> None:
    def commit_of(place: str) -> str:
        installed = install(wheel_of(checkout), tmp_path / place)
        say = "from fedforge_runtime.record.provenance import git_commit; print(git_commit())"
        asked = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); {say}"]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
        shutil.rmtree(checkout / "wheels")
        return done.stdout.strip()

    assert commit_of("of-no-checkout") == "None"
    commit = committed(checkout)
    assert commit_of("clean") == commit
    (checkout / "fedforge_runtime" / "clock.py").open("a").write("\n")
    assert commit_of("changed") == f"{commit}-dirty"
