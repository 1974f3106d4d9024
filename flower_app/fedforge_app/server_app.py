"""The ServerApp of the installed package, for runs that Flower starts."""

from fedforge_runtime.federation.superlink.flower_run import app

__all__ = ["app"]
