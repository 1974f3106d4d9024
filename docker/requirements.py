"""Prints what the package needs, a line each, so that an image installs it before the package itself changes."""

import sys
import tomllib
from pathlib import Path

sys.stdout.write("\n".join(tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]) + "\n")
