"""A program as a child of this process: started on its own, heard to its last word, ended gently and then hard."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any


class Child(subprocess.Popen[str]):
    """A process in a session of its own: Ctrl-C reaches us alone, who decide what ends, and in which order.

    Args:
        environment: what its environment has beside ours.
        log: where its output goes, appended; by default nowhere.
        options: what else `subprocess.Popen` takes, such as pipes in place of any of the three streams.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        **options: Any,
    ) -> None:
        self._unasked = threading.Lock()
        with log.open("ab") if log else nullcontext(subprocess.DEVNULL) as output:
            super().__init__(
                command,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
                **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **options},
            )

    def end(self, *, by: signal.Signals = signal.SIGTERM, grace: float = 0.0) -> None:
        """Have it ended when this returns: asked, and killed after `grace` seconds; usable from several threads.

        It is asked once, whoever calls: asked again, a process of ours would not end in order.
        """
        if grace and self.poll() is None:
            if self._unasked.acquire(blocking=False):
                self.send_signal(by)
            with suppress(subprocess.TimeoutExpired):
                self.wait(grace)
        self.kill()
        self.wait()


class LastWords(threading.Thread):
    """Reads what a child writes to its standard error, which is a pipe, until it ends.

    Args:
        tell: is told each line that is no error.
    """

    def __init__(self, child: Child, tell: Callable[[str], None] = lambda line: None) -> None:
        super().__init__(name="last-words", daemon=True)
        self.error = ""
        """The last line that said `error: …`, without that."""
        self.line = ""
        """The last other one."""
        self._child = child
        self._tell = tell
        self.start()

    def run(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            text = line.strip()
            if text.startswith("error: "):
                self.error = text.removeprefix("error: ")
            elif text:
                self.line = text
                self._tell(text)
