"""The console script `fedforge`."""

from __future__ import annotations

import atexit
import gc

from fedforge_runtime.commands.output import run_guarded
from fedforge_runtime.processes.environment import configure_third_parties, keep_compiled_files
from fedforge_runtime.processes.interrupts import raise_on_signals


def main() -> None:
    """Carry out one command."""
    raise_on_signals()
    configure_third_parties()
    keep_compiled_files()
    atexit.register(gc.freeze)  # at the end Python would search all of torch for cycles, which takes up to a second
    run_guarded(_commands)


def _commands() -> None:
    from fedforge_runtime.commands.app import app  # once a signal leads to a clean end

    app()


if __name__ == "__main__":
    main()
