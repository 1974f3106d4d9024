"""Who a process is: its number alone may be another's by the time that it is used."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, whatever becomes of its number after its end."""

    process_id: int
    started: float
    """When it started, in a unit of the system's that grows and is not reset by a change of the clock."""

    @classmethod
    def of(cls, process_id: int) -> ProcessIdentity:
        """The process that has this number now.

        Raises:
            ProcessLookupError: there is none.
        """
        return cls(process_id, _start_of(process_id))

    @classmethod
    def find(cls, process_id: int | None) -> ProcessIdentity | None:
        """As `of`; `None` where there is no such process."""
        with suppress(ProcessLookupError):
            return cls.of(process_id) if process_id is not None else None
        return None

    @classmethod
    def own(cls) -> ProcessIdentity:
        """This process."""
        return cls.of(os.getpid())

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this process and to no other; whether it was still there."""
        # What a descriptor stands for cannot change any more: if it is this process now, it stays so.
        descriptor = None
        try:
            if hasattr(os, "pidfd_open"):
                descriptor = os.pidfd_open(self.process_id)
            if _start_of(self.process_id) != self.started:
                return False
            if descriptor is None:
                os.kill(self.process_id, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _start_of(process_id: int) -> float:
    try:
        if sys.platform != "linux":
            return psutil.Process(process_id).create_time()
        status = Path(f"/proc/{process_id}/stat").read_bytes()
    except (psutil.NoSuchProcess, FileNotFoundError) as error:
        raise ProcessLookupError(f"there is no process {process_id}") from error
    # Ticks since the system started, the 22nd field; the second, in parentheses, may hold anything.
    return float(status.rpartition(b")")[2].split()[19])
