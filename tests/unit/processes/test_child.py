"""A child is asked to end once, in order, and killed where it does not; its last words are kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fedforge_runtime.processes.child import Child, LastWords
from tests.support.patience import PATIENCE_SECONDS

COUNTS_REQUESTS = """
import signal, sys, time
asked = []
signal.signal(signal.SIGINT, lambda *_: (asked.append(1), print("asked", flush=True)))
print("ready", flush=True)
while not asked:
    time.sleep(0.01)
sys.stdin.read()
sys.exit(len(asked))
"""
DEAF = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(3600)
"""


def waiting(code: str) -> Child:
    child = Child([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_child_that_is_ended_by_two_threads_is_asked_once() -> None:
    with waiting(COUNTS_REQUESTS) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        ending = [
            threading.Thread(target=child.end, kwargs={"by": signal.SIGINT, "grace": PATIENCE_SECONDS})
            for _ in range(2)
        ]
        for each in ending:
            each.start()
        assert child.stdout.readline() == "asked\n"
        child.stdin.close()
        for each in ending:
            each.join()

        assert child.returncode == 1


@pytest.mark.parametrize("grace", [0.0, 0.1])
def test_a_child_that_does_not_end_is_killed(grace: float) -> None:
    with waiting(DEAF) as child:
        child.end(grace=grace)

        assert child.returncode == -signal.SIGKILL


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        code = f"import os, sys; os.write(1, b'{word} '); os.write(2, os.environ['ENDS'].encode())"
        assert Child([sys.executable, "-c", code], environment={"ENDS": ".\n"}, log=log).wait(PATIENCE_SECONDS) == 0

    assert log.read_text() == "one .\ntwo .\n"


def test_the_last_error_and_the_last_other_line_are_kept_and_others_are_told() -> None:
    code = "import os; os.write(2, b'first\\nerror: one\\n\\nerror: two\\nsecond \\xff\\n')"
    told: list[str] = []
    words = LastWords(Child([sys.executable, "-c", code], stderr=subprocess.PIPE), told.append)
    words.join()

    assert (words.error, words.line, told) == ("two", "second \ufffd", ["first", "second \ufffd"])
