"""The log of a process that nobody watches: its standard error, which whoever started it keeps in a file."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (.*)\n")


def say(text: str) -> None:
    """Write a line with the time. A log that cannot be written, as on a full disk, costs the line and nothing else."""
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
        sys.stderr.flush()


class LogReader:
    """What a process says in its log from now on, for whoever watches it after all."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0

    def read_new(self) -> Iterator[str]:
        """The texts that `say` has written since the last call. What libraries write beside them stays in the file."""
        with suppress(FileNotFoundError), self._log.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if match := _LINE.fullmatch(line):
                    yield match[1].decode(errors="replace")
