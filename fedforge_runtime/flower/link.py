"""Flower's SuperLink as a process, with something of ours before it. Loads its servers and its database."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flwr.supercore.logger import update_console_handler
from flwr.superlink import extensions
from flwr.superlink.cli import flower_superlink
from starlette.middleware import Middleware


def run_superlink(before: Sequence[Middleware]) -> None:
    """Run `flower-superlink` with its own options; every request goes through `before` first."""
    update_console_handler(timestamps=True, colored=sys.stderr.isatty())
    own = extensions.get_middleware
    extensions.get_middleware = lambda: (*before, *own())
    flower_superlink()
