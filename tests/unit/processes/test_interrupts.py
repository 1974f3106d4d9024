"""A signal that comes during an import is raised when the import is over."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS

PROGRAM = """
import signal, sys
from fedforge_runtime.processes.interrupts import raise_on_signals

def load():
    import outer
    print("too late")

raise_on_signals()
try:
    load()
except KeyboardInterrupt:
    print("interrupted")
"""
OUTER = """
try:
    import inner
except BaseException:
    print("swallowed")
print("loaded")
"""
INNER = """
import signal, sys
signal.raise_signal({number})
print("goes on")
{more}
"""


def output_of(program: str, folder: Path, *, number: signal.Signals, more: str = "") -> list[str]:
    (folder / "outer.py").write_text(OUTER)
    (folder / "inner.py").write_text(INNER.format(number=int(number), more=more))
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    ).stdout.split("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_in_an_import_is_raised_right_after_it(number: signal.Signals, tmp_path: Path) -> None:
    assert output_of(PROGRAM, tmp_path, number=number) == ["goes on", "loaded", "interrupted", ""]


def test_a_second_signal_in_the_same_import_changes_nothing(tmp_path: Path) -> None:
    more = "signal.raise_signal(signal.SIGTERM)"

    assert output_of(PROGRAM, tmp_path, number=signal.SIGINT, more=more) == ["goes on", "loaded", "interrupted", ""]


def test_a_signal_outside_of_imports_is_raised_at_once(tmp_path: Path) -> None:
    program = PROGRAM.replace("import outer", "signal.raise_signal(signal.SIGTERM)")

    assert output_of(program, tmp_path, number=signal.SIGINT) == ["interrupted", ""]


def test_what_was_deferred_goes_to_the_handler_that_is_there_by_then(tmp_path: Path) -> None:
    more = "signal.signal(signal.SIGTERM, lambda number, frame: print('ended'))"
    printed = output_of(PROGRAM, tmp_path, number=signal.SIGTERM, more=more)

    assert printed == ["goes on", "loaded", "ended", "too late", ""]
