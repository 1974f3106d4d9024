"""How a process ended, and what that likely means, in the words that every engine has for it."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import psutil

from fedforge_runtime.processes.limits import cgroup_limits
from fedforge_runtime.wording import size

_STATISTICS = Path("/proc/vmstat")
_LESS_AT_A_TIME = "give it more memory, or let one site compute at a time (--engine inprocess --set runtime.workers=1)"
_NATIVE = "a crash in native code, as of a PyTorch that does not fit this processor: compare fedforge hardware-check"
_MEANINGS: dict[int, str] = {
    signal.SIGBUS: "a mapped file that was cut short or cannot be read, or a full /dev/shm: see the disk",
    signal.SIGSEGV: _NATIVE,
    signal.SIGILL: _NATIVE,
    signal.SIGFPE: _NATIVE,
    signal.SIGABRT: _NATIVE,
    signal.SIGTERM: "somebody, or the system as it shuts down, told it to end",
    signal.SIGXCPU: "it had used up its processor time: raise the limit (ulimit -t)",
}


def _kills_for_memory() -> int | None:
    """How many processes the system has killed for want of memory since it started; `None` where it does not say."""
    with suppress(OSError):
        lines = _STATISTICS.read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    return None


_KILLS_BEFORE = _kills_for_memory()


def describe_exit(code: int) -> str:
    """How a process ended: `killed by SIGKILL`, `exit code 3`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def explain_death(code: int | None) -> str:
    """Why a process ended before its work did, for whoever must act on it: how, what it likely means, what to try.

    Args:
        code: as multiprocessing has it, negative for a signal; `None` where nobody saw it end.
    """
    if code is None or code == -signal.SIGKILL:
        how = "without a word" if code is None else "killed by SIGKILL"
        return f"{how}, most often because memory has run out ({_memory()}): {_LESS_AT_A_TIME}"
    meaning = _MEANINGS.get(-code)
    return f"{describe_exit(code)}{f', {meaning}' if meaning else ''}"


def _memory() -> str:
    """What this machine has left, now that the process is gone, and what the system says of it."""
    memory, limit, kills = psutil.virtual_memory(), cgroup_limits().memory_bytes, _kills_for_memory()
    parts = [f"now that it is gone {size(memory.available)} of {size(memory.total)} are free"]
    if limit is not None and limit < memory.total:
        parts.append(f"a limit allows {size(limit)}")
    if kills is not None and _KILLS_BEFORE is not None:
        killed = kills - _KILLS_BEFORE
        parts.append(f"the system has killed {killed or 'no'} process{'es' * (killed > 1)} for want of it meanwhile")
    return "; ".join(parts)
