"""The runs of a home, by id."""

from __future__ import annotations

import secrets

from fedforge_runtime.clock import utc_now
from fedforge_runtime.errors import RunError
from fedforge_runtime.storage.artifacts import children
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.wording import suggest


def new_run_id(phase: str) -> str:
    """For example `blood-20261124-093000-3f9a`."""
    return f"{phase}-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def find_run(run_id: str, home: Home) -> RunFolder:
    """The folder of an existing run, or `RunError` with the nearest run id."""
    folder = home.run(run_id)
    if not folder.exists():
        known = [run.run_id for run in list_runs(home)]
        remedy = suggest(run_id, known) if known else "There are no runs here yet."
        raise RunError(f"there is no run {run_id!r} in {home.runs}.", remedy=remedy)
    return folder


def list_runs(home: Home) -> list[RunFolder]:
    """The runs of a home, oldest first.

    Raises:
        OSError: they cannot be read, which is not the same as none.
    """
    folders = [RunFolder(path) for path in children(home.runs)]
    return sorted((folder for folder in folders if folder.exists()), key=lambda folder: folder.config.stat().st_mtime)
