"""Processes of ours: workers that stay, the template that they are forked from, and who a process is."""

from fedforge_runtime.processes.endings import describe_exit, explain_death
from fedforge_runtime.processes.identity import ProcessIdentity
from fedforge_runtime.processes.pool import WorkerPool
from fedforge_runtime.processes.progress import Progress
from fedforge_runtime.processes.template import (
    LOST_SIGHT,
    TEMPLATE,
    UntilLoaded,
    die_with_owner,
    share_template,
)

__all__ = [
    "LOST_SIGHT",
    "TEMPLATE",
    "ProcessIdentity",
    "Progress",
    "UntilLoaded",
    "WorkerPool",
    "describe_exit",
    "die_with_owner",
    "explain_death",
    "share_template",
]
