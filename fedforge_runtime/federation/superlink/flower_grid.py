"""What the run's side alone uses of Flower's inside; loaded by it alone, since a database comes with it."""

from flwr.cli.build import build_fab_from_files
from flwr.superlink.grid import HttpGrid

__all__ = ["HttpGrid", "build_fab_from_files"]
