"""The log of a process that nobody watches: its standard error, which whoever started it keeps in a file."""

from __future__ import annotations

import sys
import time
from contextlib import suppress


def say(text: str) -> None:
    """Write a line with the time. A log that cannot be written, as on a full disk, costs the line and nothing else."""
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
        sys.stderr.flush()
