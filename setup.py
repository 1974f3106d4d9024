"""What pyproject.toml cannot say: what is built or noted before it is packed.

Into a wheel go the dashboard's pages, Dagster's files of the checkout, and the commit that it is of; into an archive
of sources the pages and the commit, so that a wheel that is made of it has the same. An editable install finds them all
in its checkout.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import ExecError

_DASHBOARD = Path("dashboard")
_BUILT = _DASHBOARD / "dist"
_PAGES_ARE_MADE_OF = ("src/**/*", "public/**/*", "*.json", "*.ts", "*.html", ".npmrc")
_OF_DAGSTER = ("dagster.yaml", "workspace.yaml")
_COMMIT = Path("fedforge_runtime", "COMMIT")
_SOURCES = ("fedforge_pipelines", "fedforge_runtime", "monitor", "dashboard", "pyproject.toml", "setup.py")


class WheelFiles(build_py):
    """Adds them to what is copied of the packages."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib)
        _build_pages(self)
        pages = built / "monitor" / "static"
        shutil.rmtree(pages, ignore_errors=True)  # of an earlier build, whose files have other names
        if (_BUILT / "index.html").is_file():
            shutil.copytree(_BUILT, pages)
        else:
            self.warn("the dashboard is not built, and not packed: the monitor will serve its API alone")
        for name in _OF_DAGSTER:
            shutil.copyfile(name, built / "fedforge_pipelines" / name)
        _note_commit(self, built)


class SourceFiles(sdist):
    """Adds them to an archive of sources."""

    def run(self) -> None:
        _build_pages(self)
        super().run()

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        _note_commit(self, Path(base_dir))


def _build_pages(command: Command) -> None:
    """Build the dashboard where its sources are and it is not up to date.

    Raises:
        ExecError: npm has failed, and has said why.
    """
    if not (_DASHBOARD / "package.json").is_file() or _is_up_to_date():
        return
    npm, node = shutil.which("npm"), shutil.which("node")
    why = _why_not_with(node) if npm and node else "it needs Node with npm, and there is none."
    if why:
        command.warn(f"the dashboard cannot be built: {why}")
        return
    for words in (("ci",), ("run", "build")):
        command.announce(f"building the dashboard: npm {' '.join(words)}", 2)
        if subprocess.run([str(npm), *words], cwd=_DASHBOARD, check=False).returncode != 0:
            raise ExecError(f"npm {' '.join(words)} has failed in {_DASHBOARD.resolve()}; what it said is above.")


def _is_up_to_date() -> bool:
    page = _BUILT / "index.html"
    if not page.is_file():
        return False
    sources = (file for pattern in _PAGES_ARE_MADE_OF for file in _DASHBOARD.glob(pattern) if file.is_file())
    generated = {_DASHBOARD / "src" / "api" / "schema.d.ts"}
    return max(file.stat().st_mtime for file in sources if file not in generated) <= page.stat().st_mtime


def _why_not_with(node: str) -> str:
    """Why this Node cannot build the dashboard; empty where it can."""
    asked = subprocess.run([node, str(_DASHBOARD / "engines.cjs")], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _note_commit(command: Command, folder: Path) -> None:
    file = folder / _COMMIT
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        file.write_text(f"{commit}{'-dirty' if _git('status', '--porcelain', '--', *_SOURCES) else ''}\n")
    elif _COMMIT.is_file():  # these are sources that were packed
        shutil.copyfile(_COMMIT, file)
    else:
        file.unlink(missing_ok=True)
        command.warn("there is no git checkout here: runs of this wheel cannot say which commit they are of")


def _git(*arguments: str) -> str | None:
    """What git says of this checkout, and of no other around it; `None` where it is none, or there is no git."""
    if not Path(".git").exists() or not (git := shutil.which("git")):
        return None
    done = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


setup(cmdclass={"build_py": WheelFiles, "sdist": SourceFiles})
