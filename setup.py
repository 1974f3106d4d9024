"""What pyproject.toml cannot say: the dashboard goes into the package where it was built, and the commit that it is of.

An editable install finds both in its checkout.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_BUILT = Path("dashboard", "dist")
_SOURCES = ("fedforge_pipelines", "fedforge_runtime", "monitor", "dashboard", "pyproject.toml", "setup.py")


class BuildWithDashboard(build_py):
    """Copies what `make dashboard` has made to `monitor/static` of a wheel, and notes its commit."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        self._pack_dashboard(Path(self.build_lib, "monitor", "static"))
        self._note_commit(Path(self.build_lib, "fedforge_runtime", "COMMIT"))

    def _pack_dashboard(self, packed: Path) -> None:
        shutil.rmtree(packed, ignore_errors=True)  # of an earlier build, whose files have other names
        if (_BUILT / "index.html").is_file():
            shutil.copytree(_BUILT, packed)
        else:
            self.warn("the dashboard is not built, and not packed: make dashboard")

    def _note_commit(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        commit = _git("rev-parse", "HEAD")
        if commit is None:
            self.warn("there is no git checkout here: runs of this wheel cannot say which commit they are of")
            return
        file.write_text(f"{commit}{'-dirty' if _git('status', '--porcelain', '--', *_SOURCES) else ''}\n")


def _git(*arguments: str) -> str | None:
    """What git says of this checkout, and of no other around it; `None` where it is none, or there is no git."""
    if not Path(".git").exists() or not (git := shutil.which("git")):
        return None
    done = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


setup(cmdclass={"build_py": BuildWithDashboard})
