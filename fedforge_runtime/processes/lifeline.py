"""Processes that end when the process that started them ends, however that ends.

`python -m fedforge_runtime.processes.lifeline DESCRIPTOR [--remove FOLDER] COMMAND ARGUMENT…` runs the console script
COMMAND of an installed package in this process, and ends it once DESCRIPTOR, the read end of a pipe, is closed on the
other side.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedforge_runtime.processes.child import Child


class TiedProcess(Child):
    """A console script as a child process, tied to this one by a pipe.

    Args:
        command: the name of the script and its arguments.
        remove: a folder that goes when this process dies before it could remove it.
        options: as `Child`.
    """

    def __init__(self, command: Sequence[str], *, remove: Path | None = None, **options: Any) -> None:
        read_end, write_end = os.pipe()
        self._lifeline = os.fdopen(write_end, "wb")
        removal = ["--remove", str(remove)] if remove else []
        module = [sys.executable, "-m", "fedforge_runtime.processes.lifeline", str(read_end)]
        try:
            super().__init__([*module, *removal, *command], pass_fds=(read_end,), **options)
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(read_end)

    def end(self, *, by: signal.Signals = signal.SIGTERM, grace: float = 0.0) -> None:
        """As `Child`; the pipe is closed thereafter."""
        super().end(by=by, grace=grace)
        self._lifeline.close()


def _watch(descriptor: int, folder: Path | None) -> None:
    os.read(descriptor, 1)  # nothing is ever written: it returns when the other side is closed
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    descriptor, *arguments = sys.argv[1:]
    folder = None
    if arguments[0] == "--remove":
        folder, arguments = Path(arguments[1]), arguments[2:]
    threading.Thread(target=_watch, args=(int(descriptor), folder), name="lifeline", daemon=True).start()
    sys.argv = arguments
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=arguments[0])
    sys.exit(script.load()())


if __name__ == "__main__":
    main()
