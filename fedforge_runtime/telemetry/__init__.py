"""Structured events of a run, written where the run is and read by whoever watches it."""
