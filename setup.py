"""What pyproject.toml cannot say: the dashboard goes into the package where it was built, and only there."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_BUILT = Path("dashboard", "dist")


class BuildWithDashboard(build_py):
    """Copies what `make dashboard` has made to `monitor/static` of a wheel; an editable install finds it there."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        packed = Path(self.build_lib, "monitor", "static")
        shutil.rmtree(packed, ignore_errors=True)  # of an earlier build, whose files have other names
        if (_BUILT / "index.html").is_file():
            shutil.copytree(_BUILT, packed)
        else:
            self.warn("the dashboard is not built, and not packed: make dashboard")


setup(cmdclass={"build_py": BuildWithDashboard})
