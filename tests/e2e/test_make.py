"""How `make` builds the dashboard, and does without it: a checkout whose dashboard is one small page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
BUILD = """
import { appendFileSync, copyFileSync, mkdirSync } from 'node:fs'
mkdirSync('dist', { recursive: true })
copyFileSync('index.html', 'dist/index.html')
appendFileSync('built.txt', 'built\\n')
console.log('what a build says')
"""
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node with npm")


class Checkout:
    """With the real Makefile, and an environment that is installed already."""

    def __init__(self, root: Path) -> None:
        self.root, self.dashboard = root, root / "dashboard"
        (self.dashboard / "src").mkdir(parents=True)
        for name in ("Makefile", "dashboard/engines.cjs"):
            shutil.copyfile(ROOT / name, root / name)
        self.write_package("node build.mjs")
        lock = {"name": "small", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "small"}}}
        (self.dashboard / "package-lock.json").write_text(json.dumps(lock))
        (self.dashboard / "build.mjs").write_text(BUILD)
        (self.dashboard / "index.html").write_text("<p>the page</p>")
        (self.dashboard / "openapi.json").write_text("{}")
        (self.dashboard / "src" / "app.ts").touch()
        (root / "pyproject.toml").touch()
        scripts = root / ".venv" / "bin"
        scripts.mkdir(parents=True)
        (scripts / "python").touch()
        (scripts / "fedforge").write_text('#!/bin/sh\necho "fedforge $*"\n')
        (scripts / "fedforge").chmod(0o755)
        for file in root.rglob("*"):
            os.utime(file, (time.time() - 1000,) * 2)
        for stamp in (".installed", ".installed-dev"):
            (root / ".venv" / stamp).touch()

    def write_package(self, build: str, node: str = ">=18", **scripts: str) -> None:
        document = {"name": "small", "type": "module", "engines": {"node": node}, "scripts": {"build": build} | scripts}
        (self.dashboard / "package.json").write_text(json.dumps(document))

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if name not in ("CI", "MAKEFLAGS", "MAKELEVEL")}
        return subprocess.run(
            ["make", *words],
            cwd=self.root,
            env=own | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    def builds(self) -> int:
        log = self.dashboard / "built.txt"
        return len(log.read_text().splitlines()) if log.is_file() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def without_node(tmp_path: Path) -> str:
    """A PATH on which there is what make needs, and no Node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "sh", "find", "touch", "echo", "printf"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return str(folder)


@needs_node
def test_the_dashboard_is_built_once_and_nothing_is_said_of_it(checkout: Checkout) -> None:
    first = checkout.make("dashboard")

    assert (first.returncode, first.stdout, first.stderr) == (0, "building the dashboard\n", "")
    assert (checkout.dashboard / "dist" / "index.html").read_text() == "<p>the page</p>"
    assert "building" not in checkout.make("dashboard").stdout
    assert checkout.builds() == 1


@needs_node
def test_it_is_built_again_when_what_it_is_made_of_is_newer(checkout: Checkout) -> None:
    assert checkout.make("dashboard").returncode == 0
    made_of = ("src/app.ts", "package-lock.json", "openapi.json", "index.html")
    for number, name in enumerate(made_of, start=2):
        now = time.time()
        os.utime(checkout.dashboard / "dist" / "index.html", (now - 10, now - 10))
        os.utime(checkout.dashboard / name, (now - 5, now - 5))
        assert checkout.make("dashboard").returncode == 0
        assert checkout.builds() == number, name
        os.utime(checkout.dashboard / name, (now - 1000, now - 1000))


@needs_node
def test_a_build_that_fails_shows_what_npm_says_and_is_tried_again(checkout: Checkout) -> None:
    checkout.write_package("echo 'types do not fit' && exit 3")
    for _ in range(2):
        done = checkout.make("dashboard")
        assert done.returncode != 0
        assert "types do not fit" in done.stderr


@needs_node
def test_up_builds_it_where_it_is_not_up_to_date(checkout: Checkout) -> None:
    assert checkout.make("up", "DETACH=1").stdout.splitlines() == [
        "building the dashboard", ".venv/bin/fedforge up --detach", "fedforge up --detach",
    ]  # fmt: skip
    assert checkout.make("up").stdout.splitlines() == [".venv/bin/fedforge up ", "fedforge up"]


@needs_node
def test_up_starts_without_it_where_the_build_fails(checkout: Checkout) -> None:
    checkout.write_package("echo 'types do not fit' && exit 3")

    done = checkout.make("up")

    assert done.returncode == 0
    assert "types do not fit" in done.stderr
    assert "the dashboard is not built; the lines above say why." in done.stdout
    assert done.stdout.endswith("fedforge up\n")


@pytest.mark.parametrize("command", ["up", "demo"])
def test_without_node_the_commands_work_all_the_same(checkout: Checkout, without_node: str, command: str) -> None:
    done = checkout.make(command, PATH=without_node)

    assert (done.returncode, done.stderr) == (0, "")
    *before, _, last = done.stdout.splitlines()
    assert last.startswith(f"fedforge {command}")
    assert before == (
        ["the dashboard is not built: it needs Node with npm, and there is none."] if command == "up" else []
    )


def test_without_node_what_was_built_elsewhere_is_taken(checkout: Checkout, without_node: str) -> None:
    (checkout.dashboard / "dist").mkdir()
    (checkout.dashboard / "dist" / "index.html").touch()

    assert "dashboard" not in checkout.make("up", PATH=without_node).stdout


@needs_node
def test_a_node_that_is_too_old_is_as_none_and_the_line_says_what_is_needed(checkout: Checkout) -> None:
    checkout.write_package("node build.mjs", node=">=99.1 <100 || >=102")

    done = checkout.make("up")

    assert done.returncode == 0
    assert "the dashboard is not built: it needs Node >=99.1 <100 || >=102, and this is " in done.stdout
    assert checkout.builds() == 0


def test_who_asks_for_it_without_node_is_refused(checkout: Checkout, without_node: str) -> None:
    done = checkout.make("dashboard", PATH=without_node)

    assert done.returncode != 0
    assert "error: the dashboard cannot be built: it needs Node" in done.stderr


def test_without_node_its_tests_are_skipped_but_not_in_ci(checkout: Checkout, without_node: str) -> None:
    line = "the dashboard's tests are skipped: it needs Node with npm, and there is none.\n"

    skipped = checkout.make("test-dashboard", PATH=without_node)
    assert (skipped.returncode, skipped.stdout) == (0, line)
    assert checkout.make("test-dashboard", PATH=without_node, CI="true").returncode != 0


@needs_node
def test_each_check_of_the_dashboard_is_made_and_one_that_fails_fails_all(checkout: Checkout) -> None:
    checks = {"typecheck": "echo types", "lint": "echo style", "test": "echo tests"}
    checkout.write_package("node build.mjs", **checks)
    done = checkout.make("test-dashboard")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if " " not in line] == ["types", "style", "tests"]
    assert checkout.builds() == 1

    checkout.write_package("node build.mjs", **(checks | {"lint": "exit 4"}))
    assert checkout.make("test-dashboard").returncode != 0
