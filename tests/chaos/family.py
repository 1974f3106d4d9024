"""Which processes make up a federation, seen from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

import psutil

from tests.e2e.command import wait_for_child

MARK = "CHAOS_MARK"
"""Variable in the environment of a command; every process that comes from the command has it too."""
_NODE_LOG = re.compile(r"site-(\d+)\.log")


def marked(mark: str) -> list[psutil.Process]:
    """Every living process of the command that was started with this mark, whoever its parent is by now."""
    return [each for each in psutil.process_iter() if each.pid != os.getpid() and _mark_of(each) == mark]


def link(owner: psutil.Process) -> psutil.Process:
    """The SuperLink that an owner has started."""
    return wait_for_child(owner.pid, "fedforge-superlink")


def nodes(owner: psutil.Process) -> dict[int, psutil.Process]:
    """The SuperNodes by site: of all that are forked from the template, those that write a node's log."""
    found = {}
    for process in owner.children(recursive=True):
        with suppress(psutil.Error):
            for file in process.open_files():
                if name := _NODE_LOG.fullmatch(os.path.basename(file.path)):
                    found[int(name[1])] = process
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def describe(processes: list[psutil.Process]) -> str:
    return "; ".join(_described(processes))


def _described(processes: list[psutil.Process]) -> Iterator[str]:
    for process in processes:
        with suppress(psutil.Error):
            yield f"{process.pid} ({process.status()}): {' '.join(process.cmdline())[:120]}"


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK) if process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):
        return None
