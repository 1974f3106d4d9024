"""The ServerApp of the installed package, for runs that Flower starts."""

from fedforge_runtime.commands.flwr_entry import app

__all__ = ["app"]
