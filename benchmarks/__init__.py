"""Measurements of the product through its own code paths; `python -m benchmarks` runs them all."""
