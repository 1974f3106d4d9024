"""Which code a run is made by."""

from __future__ import annotations

import functools
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

RECORDED_PACKAGES = (
    "accelerate", "datasets", "evaluate", "flwr", "flwr-datasets", "medmnist", "numpy", "safetensors",
    "torch", "torchvision", "transformers",
)  # fmt: skip
"""Those whose versions can change a number."""


@functools.lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the checkout that this package is imported from, or that its wheel was built in, if it is known.

    It ends with `-dirty` where something was changed since.
    """
    git = shutil.which("git")
    root = Path(__file__).resolve().parents[2]
    if not git or not (root / ".git").exists():
        return _commit_of_wheel()
    described = subprocess.run(
        [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--match="],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _commit_of_wheel() -> str | None:
    with suppress(OSError):
        return (Path(__file__).resolve().parents[1] / "COMMIT").read_text().strip() or None
    return None
