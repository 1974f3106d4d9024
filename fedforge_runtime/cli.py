"""The console script `fedforge`."""

from __future__ import annotations

import atexit
import gc
from pathlib import Path

from fedforge_runtime.artifacts import storage_error
from fedforge_runtime.commands.output import fail
from fedforge_runtime.environment import configure_third_parties
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.home import Home
from fedforge_runtime.interrupts import raise_on_signals


def main() -> None:
    """Carry out one command: an expected error is one line on standard error and a non-zero exit."""
    raise_on_signals()
    configure_third_parties()
    atexit.register(gc.freeze)  # at the end Python would search all of torch for cycles, which takes up to a second
    try:
        from fedforge_runtime.commands.app import app  # once a signal leads to a clean end

        app()
    except FedForgeError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(str(storage_error(error, Path(error.filename or Home.resolve(None).root))), 1)
    except KeyboardInterrupt:
        fail("interrupted.", 130)
    except Exception as error:
        fail(f"{type(error).__name__}: {error} This is a defect of FedForge; --debug shows where.", 70)


if __name__ == "__main__":
    main()
