"""Processes that end when the process that started them ends, however that ends.

`python -m fedforge_runtime.processes.lifeline DESCRIPTOR [--remove FOLDER] COMMAND ARGUMENT…` runs the console script
COMMAND of an installed package in this process, and ends it once DESCRIPTOR, the read end of a pipe, is closed on the
other side.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


class TiedProcess:
    """A console script as a child process, tied to this one by a pipe.

    Args:
        command: the name of the script and its arguments.
        environment: what its environment has beside ours.
        log: where its output goes, appended.
        remove: a folder that goes when this process dies before it could remove it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        remove: Path | None = None,
    ) -> None:
        self.name = command[0]
        read_end, self._lifeline = os.pipe()
        os.set_inheritable(read_end, True)
        removal = ["--remove", str(remove)] if remove else []
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "fedforge_runtime.processes.lifeline", str(read_end), *removal, *command],
                    env=dict(os.environ) | dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(read_end,),
                    start_new_session=True,  # Ctrl-C reaches the whole group: the parent decides what ends
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read_end)

    @property
    def process_id(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; `None` while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended; `subprocess.TimeoutExpired` when that takes longer."""
        return self._process.wait(timeout)

    def end(self, *, grace: float = 0.0) -> None:
        """Have it ended when this returns: asked for `grace` seconds, then killed."""
        if grace and self.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        if self._lifeline >= 0:
            self._process.kill()
            self._process.wait()
            os.close(self._lifeline)
            self._lifeline = -1


def _watch(descriptor: int, folder: Path | None) -> None:
    os.read(descriptor, 1)  # nothing is ever written: it returns when the other side is closed
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _console_script(name: str) -> Any:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    return script.load()


def main() -> None:
    descriptor, *arguments = sys.argv[1:]
    folder = None
    if arguments[0] == "--remove":
        folder, arguments = Path(arguments[1]), arguments[2:]
    threading.Thread(target=_watch, args=(int(descriptor), folder), name="lifeline", daemon=True).start()
    sys.argv = arguments
    sys.exit(_console_script(arguments[0])())


if __name__ == "__main__":
    main()
